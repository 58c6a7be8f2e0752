"""Put encoders of several origins to other tasks, on equal terms: what is each worth?"""

import sys
from pathlib import Path

from launchers.command_line import run_command
from pipeline.transfer.config import TransferConfig


def transfer(config: TransferConfig) -> None:
    """Train heads on encoders of several origins, and compare them on held-out images."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.transfer.job import run_transfer
    from pipeline.transfer.report import write_transfer

    folder = Path(config.output)
    table = write_transfer(run_transfer(config), folder=folder)
    console = Console()
    columns = [0, 1, 2, 3, -1]  # what fits into 80 columns; the files have the rest
    titles = [table.titles[place] for place in columns]
    shown = Table(*titles, title=table.caption, title_justify="left")
    for row in table.rows:
        shown.add_row(*(row[place].replace(" [", "\n[") for place in columns))
    console.print(shown)
    console.print(f"table    {folder}/transfer.md", soft_wrap=True, highlight=False)
    console.print(f"numbers  {folder}/transfer.json", soft_wrap=True, highlight=False)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(TransferConfig, transfer)


if __name__ == "__main__":
    sys.exit(main())
