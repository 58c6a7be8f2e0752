"""Train several models alike and measure them side by side: one table, with intervals."""

import sys
from typing import TYPE_CHECKING

from launchers.command_line import run_command
from launchers.pretrain import PRESETS
from pipeline.comparison_config import ComparisonConfig

if TYPE_CHECKING:
    from evaluation import ModelComparison


def compare(config: ComparisonConfig) -> int:
    """Train several models alike, measure them, and compare; the same command goes on."""
    from pipeline.comparison import run_comparison

    outcome = run_comparison(config, presets=PRESETS)
    if outcome.comparison is not None:
        _show(config, outcome.comparison)
    return outcome.exit_code


def _show(config: ComparisonConfig, comparison: "ModelComparison") -> None:
    from rich.console import Console
    from rich.table import Table

    from evaluation import comparison_table

    cells = comparison_table(comparison)
    # What fits into 80 columns; the file has the rest.
    shown = [*(cells.titles.index(title) for title in ("model", "asked by", "Dice")), -1]
    table = Table(title=cells.caption, title_justify="left")
    for place in shown:
        table.add_column(cells.titles[place], no_wrap=place >= 0)
    for row in cells.rows:
        table.add_row(*(row[place].replace(" [", "\n[") for place in shown))
    console = Console()
    console.print(table)
    console.print(f"table    {config.folder}/comparison.md", soft_wrap=True, highlight=False)
    console.print(f"numbers  {config.folder}/comparison.json", soft_wrap=True, highlight=False)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(ComparisonConfig, compare)


if __name__ == "__main__":
    sys.exit(main())
