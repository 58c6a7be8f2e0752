"""Summaries as tables: cells of text that HTML, Markdown and the terminal share."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluation.confidence_intervals import Interval
from evaluation.protocols import is_in_tables
from evaluation.summary import METRICS, SHARES, Stratum, Summary

if TYPE_CHECKING:
    from rich.table import Table as TerminalTable

FALLS_WHEN_BETTER = frozenset(
    {
        "hd95_pixels",
        "hd95_millimetres",
        "average_surface_distance_pixels",
        "average_surface_distance_millimetres",
        "area_error",
        "area_error_square_millimetres",
        "miss_rate",
        "false_positive_rate",
        "false_positives_per_image",
    }
)

UP, DOWN = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"
"""Beside a title: which direction is better."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A caption, titles, and rows of text; the first column names the row."""

    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


IN_PAPERS = (
    "dice",
    "iou",
    "hd95_pixels",
    "hd95_millimetres",
    "average_surface_distance_pixels",
    "normalised_surface_dice",
    "detection_rate",
    "false_positives_per_image",
)
"""Metrics of the one table that goes into a paper."""


def overview(summaries: Sequence[Summary]) -> Table:
    """Return one line a model, protocol and tier: the table that goes into a paper."""
    shown = [summary for summary in summaries if is_in_tables(summary.protocol)]
    known = {name for summary in shown for name in summary.overall.metrics}
    metrics = [name for name in IN_PAPERS if name in known]
    return Table(
        caption="Means with intervals by subject-level bootstrap",
        titles=("model", "protocol", "tier", "rows", "subjects", *map(titled, metrics)),
        rows=tuple(
            (
                summary.model,
                summary.protocol,
                summary.tier.replace("_", " "),
                str(summary.overall.num_rows),
                str(summary.overall.num_subjects),
                *(format_interval(name, summary.overall.metrics.get(name)) for name in metrics),
            )
            for summary in shown
        ),
    )


def titled(metric: str) -> str:
    """Return a metric's title with the direction that is better."""
    if metric == "area_bias":  # neither too large nor too small
        return METRICS[metric]
    return f"{METRICS[metric]} {DOWN if metric in FALLS_WHEN_BETTER else UP}"


def tables_of(summary: Summary) -> list[Table]:
    """Return the tables of one model under one protocol; a stratum of one row adds no table."""
    limits = ", ".join(f"{100 * limit:.2g} %" for limit in summary.size_limits)
    groups = [
        ("All rows", {"all": summary.overall}),
        ("By source", summary.by_source),
        ("By category", summary.by_category),
        (f"By size of the structure (thirds, parted at {limits} of the image)", summary.by_size),
    ]
    shown = metrics_of(summary)
    tables = [
        _table(caption, strata, metrics=shown)
        for caption, strata in groups
        if caption == "All rows" or len(strata) > 1
    ]
    return [*tables, _presence_table(summary)] if summary.presence else tables


def metrics_of(summary: Summary) -> list[str]:
    """Return the metrics that any row could measure, in the order of the tables."""
    return [name for name in METRICS if name in summary.overall.metrics]


_LABEL_COLUMNS = 16
"""A category's name is folded only beyond this."""


def terminal_table(summary: Summary) -> "TerminalTable":
    """Return the main figures, overall and by category, for a terminal of 100 columns."""
    from rich.table import Table as TerminalTable  # noqa: PLC0415

    chosen = ["dice", "hd95_pixels", "hd95_millimetres", "detection_rate", "false_positive_rate"]
    names = [name for name in chosen if name in summary.overall.metrics]
    tier = summary.tier.replace("_", " ")
    title = f"{summary.model}, {summary.protocol}, {tier}"
    table = TerminalTable(title=title, title_justify="left")
    strata = {"all": summary.overall}
    if len(summary.by_category) > 1:
        strata |= summary.by_category
    widest = min(_LABEL_COLUMNS, max(len(label) for label in strata))
    table.add_column("", overflow="fold", min_width=widest)
    table.add_column("rows", justify="right")
    for name in names:
        table.add_column(METRICS[name], justify="right", no_wrap=True)
    for label, stratum in strata.items():
        cells = [
            format_interval(name, stratum.metrics.get(name)).replace(" [", "\n[") for name in names
        ]
        table.add_row(label, str(stratum.num_rows), *cells)
    return table


def terminal_overview(summaries: Sequence[Summary]) -> "TerminalTable":
    """Return one line a protocol and tier, for a terminal of 100 columns."""
    from rich.table import Table as TerminalTable  # noqa: PLC0415

    cells = overview(summaries)
    titles = ("protocol", "tier", "rows", titled("dice"), titled("hd95_pixels"))
    shown = [cells.titles.index(title) for title in titles]
    table = TerminalTable(title=summaries[0].model, title_justify="left")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in cells.rows:
        table.add_row(*(row[place] for place in shown))
    return table


def format_interval(name: str, interval: Interval | None) -> str:
    """Return `mean [lower, upper]` with the digits that suit the metric; a dash for no value."""
    if interval is None or math.isnan(interval.mean):
        return "-"
    if math.isnan(interval.lower):
        return format_value(name, interval.mean)
    lower, upper = (
        format_value(name, bound).removesuffix(" %") for bound in (interval.lower, interval.upper)
    )
    return f"{format_value(name, interval.mean)} [{lower}, {upper}]"


def format_value(name: str, value: float) -> str:
    """Return one number of a metric as text; what rounds to zero has no sign."""
    if math.isnan(value):
        return "-"
    if name in SHARES:
        return f"{100 * value:z.1f} %"
    if name in FALLS_WHEN_BETTER:
        return f"{value:z.2f}"
    return f"{value:z.3f}"


def markdown_table(table: Table) -> str:
    """Return a table in Markdown."""
    lines = [_markdown_row(table.titles), "|---" + "|---:" * (len(table.titles) - 1) + "|"]
    return "\n".join([*lines, *(_markdown_row(row) for row in table.rows)])


def latex_table(table: Table) -> str:
    """Return a table for a paper, in LaTeX with booktabs; intervals stand in small print."""
    columns = "l" + "r" * (len(table.titles) - 1)
    lines = [
        f"% {table.caption}. Needs \\usepackage{{booktabs}}.",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _latex_row(table.titles),
        "\\midrule",
        *map(_latex_row, table.rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines)


_IN_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "\\": "\\textbackslash{}",
    UP: "$\\uparrow$",
    DOWN: "$\\downarrow$",
}


def _latex_row(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(_latex_cell, cells))} \\\\"


def _latex_cell(cell: str) -> str:
    mean, bracket, interval = (_escaped(part) for part in cell.partition(" ["))
    mean = mean.replace("[", "{[}")  # it would be taken for an option of the end of the line before
    return f"{mean} {{\\scriptsize {bracket[1:]}{interval}}}" if bracket else mean


def _escaped(words: str) -> str:
    return "".join(_IN_LATEX.get(character, character) for character in words)


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _presence_table(summary: Summary) -> Table:
    return Table(
        caption="Presence, told within one source (area under the ROC curve; 0.5 is guessing)",
        titles=("", "images with", "images without", f"AUC {UP}"),
        rows=tuple(
            (name, str(one.num_present), str(one.num_absent), f"{one.auc:.3f}")
            for name, one in summary.presence.items()
        ),
    )


def _table(caption: str, strata: dict[str, Stratum], *, metrics: Sequence[str]) -> Table:
    return Table(
        caption=caption,
        titles=("", "rows", "subjects", *map(titled, metrics)),
        rows=tuple(
            (
                label,
                str(stratum.num_rows),
                str(stratum.num_subjects),
                *(format_interval(name, stratum.metrics.get(name)) for name in metrics),
            )
            for label, stratum in strata.items()
        ),
    )
