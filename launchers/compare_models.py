"""Train several models alike and measure them side by side: one table, with intervals."""

import sys

from launchers.command_line import run_command
from launchers.pretrain import PRESETS
from pipeline.comparison_config import ComparisonConfig


def compare(config: ComparisonConfig) -> int:
    """Train several models alike, measure them, and compare; the same command goes on."""
    from launchers.comparison_view import show_comparison
    from pipeline.comparison import run_comparison
    from pipeline.process_group import leave_process_group

    outcome = run_comparison(config, presets=PRESETS)
    leave_process_group()
    if outcome.comparison is not None:
        show_comparison(outcome.comparison, folder=config.folder)
    return outcome.exit_code


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(ComparisonConfig, compare)


if __name__ == "__main__":
    sys.exit(main())
