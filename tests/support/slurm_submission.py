"""Options of a chain of Slurm jobs, handed to the command that submits them."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import launchers.submit_slurm


def submit(
    options: dict[str, Any], *words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> int:
    """Write the options into a preset and run the command on it."""
    preset = folder / "preset.yaml"
    preset.write_text(yaml.safe_dump(options))
    arguments = [f"preset={preset}", f"folder={folder / 'slurm'}", *words]
    monkeypatch.setattr(sys, "argv", ["submit_slurm.py", *arguments])
    return launchers.submit_slurm.main()
