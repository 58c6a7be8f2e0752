"""Measure a checkpoint on held-out corpora and write a report."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console

from evaluation import EvaluateConfig
from launchers.command_line import run_command

if TYPE_CHECKING:
    from evaluation import EvaluationResult


def evaluate(config: EvaluateConfig) -> None:
    """Measure a checkpoint on held-out corpora, with intervals, and write a report."""
    from evaluation import run_evaluation

    _show(run_evaluation(config))


def _show(result: "EvaluationResult") -> None:
    from evaluation.report_tables import terminal_table

    console = Console(width=None if sys.stdout.isatty() else 100)
    for summary in result.summaries:
        console.print(terminal_table(summary))
    console.print(f"report   {result.folder / 'report.html'}", soft_wrap=True, highlight=False)
    console.print(f"rows     {result.folder / 'records.parquet'}", soft_wrap=True, highlight=False)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(EvaluateConfig, evaluate)


if __name__ == "__main__":
    sys.exit(main())
