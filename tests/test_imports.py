"""Guards that plain top-level package names need."""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ["launchers", "pipeline", "evaluation", "model", "shards"]
LAUNCHER_SCRIPTS = sorted(path.stem for path in (REPOSITORY / "launchers").glob("[a-z]*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_imported_from_this_repository(package: str) -> None:
    found = importlib.import_module(package).__file__
    assert found is not None
    assert Path(found).parent == REPOSITORY / package


@pytest.mark.parametrize("script", LAUNCHER_SCRIPTS)
def test_launcher_script_hides_no_other_module(script: str) -> None:
    assert script not in sys.stdlib_module_names
    found = find_spec(script)
    # A folder without code is found, too: that of the quick start's results is one.
    assert found is None or found.origin is None


def test_no_source_file_is_longer_than_the_ceiling() -> None:
    folders = [*PACKAGES, "benchmarks", "tests"]
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text().splitlines())
        for folder in folders
        for path in (REPOSITORY / folder).rglob("*.py")
    }
    assert len(lengths) > 10
    assert {name: length for name, length in lengths.items() if length > 400} == {}
