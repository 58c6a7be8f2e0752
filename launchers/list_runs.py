"""List the pretraining runs of a folder: `python launchers/list_runs.py root=runs`."""

import datetime
import sys

from launchers.command_line import run_command
from pipeline.run_folder.listing_config import ListRunsConfig


def list_runs(config: ListRunsConfig) -> None:
    """List the pretraining runs of a folder: state, step, best score, last sign of life."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.run_folder.listing import find_runs

    table = Table("run", "state", "step", "best score", "updated")
    for run in find_runs(config.root):
        best = "" if run.best_score is None else f"{run.score_name} {run.best_score:.4f}"
        updated = datetime.datetime.fromtimestamp(run.updated).strftime("%Y-%m-%d %H:%M")
        steps = f"{run.step} / {run.max_steps}"
        table.add_row(run.name, run.state, steps, best, updated)
    Console().print(table)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(ListRunsConfig, list_runs)


if __name__ == "__main__":
    sys.exit(main())
