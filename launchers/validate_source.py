"""Look at a raw folder before anything is built from it."""

import sys
from pathlib import Path

from rich.console import Console

from launchers.command_line import run_command
from shards import ValidateSourceConfig, describe_trial, draw_trial, try_source


def validate_source(config: ValidateSourceConfig) -> int:
    """Say what a raw folder is and what a build would make of it; the exit code is 1 with problems.

    Nothing is built, and only a few samples are read.
    """
    console = Console(soft_wrap=True)
    trial = try_source(config)
    for line in describe_trial(trial):
        console.print(line, markup=False, highlight=False)
    if config.sheet is not None and trial.samples:
        path = Path(config.sheet)
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet = draw_trial(trial, num_columns=config.num_columns, tile_pixels=config.tile_pixels)
        sheet.save(path)
        console.print(f"contact sheet: {path}", markup=False)
    return 0 if trial.is_sound else 1


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(ValidateSourceConfig, validate_source)


if __name__ == "__main__":
    sys.exit(main())
