"""Train AutoSAMUS on SAMUS: `accelerate launch launchers/train_prompt_generator.py parent=RUN`."""

import sys

from launchers.command_line import run_command
from launchers.pretrain import PRESETS
from pipeline.prompt_generator_config import PromptGeneratorConfig


def run(config: PromptGeneratorConfig) -> int:
    """Train the prompt generator of an AutoSAMUS, or resume the run of that name."""
    from pipeline.process_group import leave_process_group
    from pipeline.prompt_generator import train_prompt_generator

    exit_code = train_prompt_generator(config).exit_code
    leave_process_group()
    return exit_code


def main() -> int:
    """Read the options and train; the exit code says how it ended."""
    return run_command(PromptGeneratorConfig, run, presets=PRESETS)


if __name__ == "__main__":
    sys.exit(main())
