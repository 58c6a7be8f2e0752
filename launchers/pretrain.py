"""Pretrain a segmenter: `accelerate launch launchers/pretrain.py preset=NAME data.train=URL`."""

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline import PretrainConfig

PRESETS = Path(__file__).resolve().parent / "presets"


def run(config: "PretrainConfig", *, launcher: int | None = None) -> int:
    """Pretrain a segmenter, or resume the run of that name where it stopped."""
    from pipeline.pretraining import pretrain
    from pipeline.process_group import leave_process_group

    exit_code = pretrain(config, launcher=launcher).exit_code
    leave_process_group()
    return exit_code


def main() -> int:
    """Read the options and train; the exit code says how it ended."""
    launcher = os.getppid()  # before the imports, which take seconds: it may be gone after them
    try:
        from launchers.command_line import run_command
        from pipeline import PretrainConfig
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"error: {error}. Install this project into the environment that runs the command: "
            f"pip install -e {PRESETS.parent.parent}\n"
        )
        return 2
    job = functools.update_wrapper(functools.partial(run, launcher=launcher), run)
    return run_command(PretrainConfig, job, presets=PRESETS)


if __name__ == "__main__":
    sys.exit(main())
