"""Measure a checkpoint on held-out corpora and write a report."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from evaluation import EvaluateConfig
from launchers.command_line import run_command

if TYPE_CHECKING:
    from evaluation import EvaluationResult, Ranks

MOST_TABLES = 4
"""Of more protocols and tiers only one table is shown; the report has all."""

PRESETS = Path(__file__).resolve().parent / "presets" / "evaluation"


def evaluate(config: EvaluateConfig) -> None:
    """Measure a checkpoint on held-out corpora, with intervals, and write a report."""
    from evaluation import run_evaluation

    ranks = _ranks(config)
    result = run_evaluation(config, ranks=ranks)
    if result is not None:
        _show(result)
    if ranks.num_ranks > 1:
        from pipeline.process_group import leave_process_group

        leave_process_group()


def _ranks(config: EvaluateConfig) -> "Ranks":
    """Join the processes that a launcher started; without one there is none to join."""
    if "WORLD_SIZE" not in os.environ and "MASTER_PORT" not in os.environ:
        from evaluation import OneRank

        return OneRank()
    from pipeline.config import RunConfig
    from pipeline.process_group import start_process_group

    group = start_process_group(RunConfig(name="evaluation"), precision=config.precision)
    if not group.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    return group


def _show(result: "EvaluationResult") -> None:
    from evaluation.reports.tables import terminal_overview, terminal_table

    console = Console(width=None if sys.stdout.isatty() else 100)
    if len(result.summaries) > MOST_TABLES:
        console.print(terminal_overview(result.summaries))
    else:
        for summary in result.summaries:
            console.print(terminal_table(summary))
    for name, file in (("report", "report.html"), ("rows", "records.parquet")):
        console.print(f"{name:8} {result.folder / file}", soft_wrap=True, highlight=False)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(EvaluateConfig, evaluate, presets=PRESETS)


if __name__ == "__main__":
    sys.exit(main())
