"""Simulated corpora, built once."""

from pathlib import Path

import pytest

from tests.support.nano_run import build_nano_corpora


@pytest.fixture(scope="session")
def nano_corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nano_corpora(tmp_path_factory.mktemp("nano"))
