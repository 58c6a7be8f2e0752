"""Put evaluated runs side by side: tables, differences and plots from the rows of their reports."""

import sys

from evaluation import CompareConfig
from launchers.command_line import run_command


def compare(config: CompareConfig) -> None:
    """Put evaluated runs side by side, with paired differences; nothing is trained or predicted."""
    from evaluation import compare_runs
    from launchers.comparison_view import show_comparison

    show_comparison(compare_runs(config), folder=config.output)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(CompareConfig, compare)


if __name__ == "__main__":
    sys.exit(main())
