"""Train AutoSAMUS on SAMUS: `accelerate launch launchers/train_prompt_generator.py parent=RUN`."""

import functools
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.prompt_generator_config import PromptGeneratorConfig


def run(config: "PromptGeneratorConfig", *, launcher: int | None = None) -> int:
    """Train the prompt generator of an AutoSAMUS, or resume the run of that name."""
    from pipeline.process_group import leave_process_group
    from pipeline.prompt_generator import train_prompt_generator

    exit_code = train_prompt_generator(config, launcher=launcher).exit_code
    leave_process_group()
    return exit_code


def main() -> int:
    """Read the options and train; the exit code says how it ended."""
    launcher = os.getppid()  # before the imports, which take seconds: it may be gone after them
    from launchers.command_line import run_command
    from launchers.pretrain import PRESETS
    from pipeline.prompt_generator_config import PromptGeneratorConfig

    job = functools.update_wrapper(functools.partial(run, launcher=launcher), run)
    return run_command(PromptGeneratorConfig, job, presets=PRESETS)


if __name__ == "__main__":
    sys.exit(main())
