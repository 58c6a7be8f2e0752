"""An option that nothing reads is a lie to whoever sets it."""

import ast
import functools
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = ["launchers", "pipeline", "evaluation", "model", "shards"]
CONFIG_FILES = sorted(
    path
    for room in ROOMS
    for pattern in ("config.py", "*_config.py")
    for path in (REPOSITORY / room).rglob(pattern)
)


def _fields(tree: ast.Module) -> set[str]:
    return {
        statement.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


def _attributes_read(tree: ast.AST) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def _checks_alone(tree: ast.Module) -> ast.Module:
    """Return the module without `__post_init__`: refusing a value is not using it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.body = [
                statement
                for statement in node.body
                if not (
                    isinstance(statement, ast.FunctionDef) and statement.name == "__post_init__"
                )
            ]
    return tree


@functools.cache
def _read_anywhere() -> set[str]:
    read: set[str] = set()
    for room in ROOMS:
        for source in (REPOSITORY / room).rglob("*.py"):
            read |= _attributes_read(_checks_alone(ast.parse(source.read_text())))
    return read


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_option_is_read_somewhere(path: Path) -> None:
    assert _fields(ast.parse(path.read_text())) - _read_anywhere() == set()
