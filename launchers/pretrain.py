"""Pretrain a segmenter: `accelerate launch launchers/pretrain.py preset=NAME data.train=URL`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline import PretrainConfig

PRESETS = Path(__file__).resolve().parent / "presets"


def run(config: "PretrainConfig") -> int:
    """Pretrain a segmenter, or resume the run of that name where it stopped."""
    from pipeline.pretraining import pretrain
    from pipeline.process_group import leave_process_group

    exit_code = pretrain(config).exit_code
    leave_process_group()
    return exit_code


def main() -> int:
    """Read the options and train; the exit code says how it ended."""
    try:
        from launchers.command_line import run_command
        from pipeline import PretrainConfig
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"error: {error}. Install this project into the environment that runs the command: "
            f"pip install -e {PRESETS.parent.parent}\n"
        )
        return 2
    return run_command(PretrainConfig, run, presets=PRESETS)


if __name__ == "__main__":
    sys.exit(main())
