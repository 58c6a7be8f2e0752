"""The troubleshooting page quotes messages that the program can say."""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "troubleshooting.md"
ROOMS = ["launchers", "pipeline", "evaluation", "model", "shards"]
VARIES = "..."


def _text(node: ast.AST) -> str | None:
    """Return a string of the source, with `...` where it puts something in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (_text(value) or VARIES for value in node.values)
        return "".join(parts)
    return None


def _source_texts() -> list[str]:
    trees = [
        ast.parse(path.read_text()) for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")
    ]
    found = (_text(node) for tree in trees for node in ast.walk(tree))
    return [text for text in found if text]


def _quotes(column: str) -> list[str]:
    """Return the quoted messages of every table whose first column has that heading."""
    found: list[str] = []
    for table in PAGE.read_text().split("\n\n"):
        lines = table.splitlines()
        if lines and lines[0].startswith(f"| {column} |"):
            for line in lines[2:]:
                found += re.findall(r"`([^`]+)`", line.split(" | ")[0])
    return found


def says(text: str, quote: str) -> bool:
    """Say whether the fixed parts of a quote come in a text, in their order."""
    at = 0
    for part in quote.split(VARIES):
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


def test_every_message_of_ours_on_the_page_is_in_the_source() -> None:
    quotes, texts = _quotes("message of ours"), _source_texts()
    assert len(quotes) > 30
    assert len(_quotes("message of others")) > 20
    assert [quote for quote in quotes if not any(says(text, quote) for text in texts)] == []


def test_a_quote_fits_its_message_alone() -> None:
    message = "... asks for ... processes, ... found each other."
    assert says(message, "... asks for ... processes")
    assert not says(message, "... found ... processes")
    assert not says(message, "... asks for ranks")
