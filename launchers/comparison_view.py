"""A comparison of models on the terminal."""

from evaluation import ModelComparison, comparison_tables

SHOWN = ("model", "asked by", "Dice")
"""Beside the difference; what fits into 80 columns. The files have the rest."""


def show_comparison(comparison: ModelComparison, *, folder: str) -> None:
    """Print the main columns of every table, and where the files lie."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for cells in comparison_tables(comparison):
        shown = [*map(cells.titles.index, SHOWN), len(cells.titles) - 2]
        table = Table(title=cells.caption, title_justify="left")
        for place in shown:
            table.add_column(cells.titles[place], no_wrap=place != shown[-1])
        for row in cells.rows:
            table.add_row(*(row[place].replace(" [", "\n[") for place in shown))
        console.print(table)
    for name, file in (("page", "html"), ("tables", "md"), ("numbers", "json")):
        console.print(f"{name:8} {folder}/comparison.{file}", soft_wrap=True, highlight=False)
