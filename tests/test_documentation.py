"""What the documentation shows is what the code does."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import launchers.command_line
from launchers.quickstart import plan_steps
from pipeline.options import load_config

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("*/README.md")]
)
FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)")


def _page_name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def _blocks(page: Path, language: str) -> list[str]:
    found = FENCE.finditer(page.read_text())
    return [match["body"] for match in found if match["language"].strip() == language]


def _commands(page: Path) -> list[list[str]]:
    """Return the words of every command line of ours that a page shows."""
    text = "\n".join(_blocks(page, "bash")).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "launchers/" in line and ".py" in line]
    return [shlex.split(line, comments=True) for line in lines]


COMMANDS = [
    pytest.param(words, id=f"{_page_name(page)}: {' '.join(words)}")
    for page in PAGES
    for words in _commands(page)
]
COMMANDS += [
    pytest.param(list(step.words), id=f"quick start: {step.title}")
    for step in plan_steps(Path("quickstart"))
]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_line_in_the_documentation_fits_its_options(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    position = next(i for i, word in enumerate(words) if re.search(r"launchers/\w+\.py$", word))
    script = REPOSITORY / words[position]
    assert script.is_file()
    seen: dict[str, Any] = {}

    def record(schema: type, job: object, **options: object) -> int:
        seen.update(schema=schema, **options)
        return 0

    monkeypatch.setattr(launchers.command_line, "run_command", record)
    module = importlib.import_module(f"launchers.{script.stem}")
    monkeypatch.setattr(module, "run_command", record, raising=False)
    assert module.main() == 0
    options = [word for word in words[position + 1 :] if word not in {"--help", "--traceback"}]
    if options or "--help" not in words:
        load_config(seen["schema"], options, presets=seen.get("presets"))


@pytest.mark.parametrize("words", COMMANDS)
def test_an_accelerate_configuration_in_the_documentation_exists(words: list[str]) -> None:
    if "--config_file" in words:
        assert (REPOSITORY / words[words.index("--config_file") + 1]).is_file()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if _blocks(page, "python")], ids=_page_name
)
def test_the_python_examples_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in _blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_a_relative_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    targets = [match["target"] for match in LINK.finditer(text)]
    assert [target for target in targets if not (page.parent / target).exists()] == []
