"""A virtual environment with a few installed distributions and what they need, nothing else.

It is made of links to the very files that the packages' records name, so that no index is asked.
"""

import sys
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


def make_bare_environment(folder: Path, *packages: str) -> Path:
    """Make the environment and return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    add_packages(folder, *packages)
    return folder / "bin" / "python"


def add_packages(folder: Path, *packages: str) -> None:
    """Link packages and what they need into an environment."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    for name in _with_needs(packages):
        for file in distribution(name).files or ():
            target = site / file
            if ".." in file.parts or file.suffix == ".pyc" or target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(str(file.locate())))


def _with_needs(packages: tuple[str, ...]) -> set[str]:
    """Return the packages and all that they require, as far as it is installed."""
    found: set[str] = set()
    open_names = list(packages)
    while open_names:
        name = open_names.pop()
        try:
            needs = distribution(name).requires or ()
        except PackageNotFoundError:
            assert name not in packages, f"{name} is not installed"
            continue
        found.add(name)
        requirements = [Requirement(need) for need in needs]
        open_names += [
            one.name
            for one in requirements
            if one.name not in found and (one.marker is None or one.marker.evaluate({"extra": ""}))
        ]
    return found
