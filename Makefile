# Two commands do everything: `make quickstart` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint requirements.lock
# Test files run beside each other, one at a time on each core, in the order of tests/conftest.py.
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder
# Hundreds of processes import the same modules: compiled once, whatever the environment prefers.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help quickstart test test-slow test-gpu checks clean distclean
.DEFAULT_GOAL := help

help:
	@echo "make quickstart  install, then shards -> training -> evaluation -> export -> registry -> prediction"
	@echo "make test        install with development tools, then the five checks with the default tests"
	@echo "make test-slow   the tests marked slow, distributed or services"
	@echo "make test-gpu    the tests marked gpu, then images/s, memory and utilisation; on a machine that has one"
	@echo "make clean       remove what the commands made (quickstart/, caches)"
	@echo "make distclean   also remove the environment ($(VENV)/)"

quickstart: $(VENV)/installed
	@$(BIN)/python launchers/quickstart.py

test: $(VENV)/installed-dev checks

checks:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright --threads
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(PARALLEL) -m "(slow or distributed or services) and not gpu and not long"

test-gpu: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m gpu
	$(BIN)/python -m benchmarks.gpu

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) was found. Name another: make quickstart PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml requirements.lock
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dev]'
	@touch $@

clean:
	rm -rf quickstart .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print | xargs rm -rf

distclean: clean
	rm -rf $(VENV) *.egg-info
