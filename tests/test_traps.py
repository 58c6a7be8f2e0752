"""Every trap of `docs/traps.md` has a test that there is, or a reason why it cannot be met."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "traps.md"
NAMED = re.compile(r"`(?P<file>[\w/]+\.py)::(?P<name>\w+)`")


def _rows() -> list[list[str]]:
    """Return the cells of every row that tells of a trap."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return [row for row in cells if row[0] != "trap"]


def _tests_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0][:60])
def test_a_trap_names_tests_that_there_are_or_says_why_it_cannot_be_met(row: list[str]) -> None:
    assert len(row) == 3
    _, met_in, answer = row
    assert met_in
    named = NAMED.findall(answer)
    assert named or len(answer.split()) >= 5
    for file, name in named:
        assert name.startswith("test_")
        assert name in _tests_of(TESTS / file), f"{file} has no {name}"


def test_the_page_covers_what_is_beneath_the_project() -> None:
    assert len(_rows()) > 50
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    assert headings == [
        "Shards and streams",
        "Accelerate and DeepSpeed",
        "MLflow",
        "Slurm and signals",
    ]
