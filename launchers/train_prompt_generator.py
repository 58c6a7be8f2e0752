"""Train AutoSAMUS on SAMUS: `accelerate launch launchers/train_prompt_generator.py parent=RUN`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.prompt_generator_config import PromptGeneratorConfig

PRESETS = Path(__file__).resolve().parent / "presets"


def run(config: "PromptGeneratorConfig") -> int:
    """Train the prompt generator of an AutoSAMUS, or resume the run of that name."""
    from pipeline.process_group import OtherRankError
    from pipeline.prompt_generator import train_prompt_generator

    try:
        return train_prompt_generator(config).exit_code
    except OtherRankError:
        return 2  # rank 0 has said why


def main() -> int:
    """Read the options and train; the exit code says how it ended."""
    try:
        from launchers.command_line import run_command
        from pipeline.prompt_generator_config import PromptGeneratorConfig
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"error: {error}. Install this project into the environment that runs the command: "
            f"pip install -e {PRESETS.parent.parent}\n"
        )
        return 2
    return run_command(PromptGeneratorConfig, run, presets=PRESETS)


if __name__ == "__main__":
    sys.exit(main())
