"""Plots of a report, as SVG that stands inside the page."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .records import EvaluationRecord, column
from .summary import Summary, category_names, share_of_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1c2733"
FAINT = "#d9e0e7"
ACCENT = "#0b7285"
COLOURS = (
    "#0b7285",
    "#e8590c",
    "#5f3dc4",
    "#2b8a3e",
    "#c2255c",
    "#1864ab",
    "#a17c00",
    "#495057",
)
"""One a source, in turn."""

MOST_POINTS = 4_000
"""Points drawn in one plot; of more rows every n-th is shown, and the text below says so."""


def dice_by_category(records: Sequence[EvaluationRecord], *, summary: Summary) -> str:
    """Return the distribution of Dice in every category: all rows, quartiles, mean and interval."""
    groups = _rows_by_category(records)
    figure, axes = _canvas(height=1.1 + 0.62 * len(groups))
    generator = np.random.default_rng(0)
    for place, (name, rows) in enumerate(groups.items()):
        values = column(_thinned(rows), "dice")
        spread = generator.uniform(-0.24, 0.24, size=len(values))
        axes.scatter(
            values, place + spread, s=11, color=ACCENT, alpha=0.35, linewidths=0, rasterized=True
        )
        quartiles = np.quantile(column(rows, "dice"), [0.25, 0.5, 0.75])
        axes.plot(quartiles[[0, 2]], [place, place], color=INK, linewidth=5, alpha=0.35)
        axes.plot([quartiles[1]] * 2, [place - 0.2, place + 0.2], color=INK, linewidth=2)
        interval = summary.by_category[name].metrics["dice"]
        error = [[interval.mean - interval.lower], [interval.upper - interval.mean]]
        axes.errorbar(
            interval.mean, place - 0.36, xerr=error, fmt="D", color="#e8590c", markersize=5
        )
    axes.set_yticks(range(len(groups)), [f"{name}\nn={len(groups[name])}" for name in groups])
    axes.set_ylim(len(groups) - 0.45, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("Dice")
    return _as_svg(figure)


def dice_against_size(records: Sequence[EvaluationRecord]) -> str:
    """Return Dice against the reference's share of the image; small structures are on the left."""
    rows = [row for row in records if row.reference_pixels > 0]
    figure, axes = _canvas(height=3.6)
    sources = sorted({row.source for row in rows})
    for place, source in enumerate(sources):
        shown = _thinned([row for row in rows if row.source == source])
        axes.scatter(
            [100 * share_of_image(row) for row in shown],
            column(shown, "dice"),
            s=15,
            color=COLOURS[place % len(COLOURS)],
            alpha=0.55,
            linewidths=0,
            label=source,
            rasterized=True,
        )
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("size of the structure (% of the image)")
    axes.set_ylabel("Dice")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    low, high = axes.get_xlim()
    if high < 10 * low:  # less than a decade: no power of ten may lie within
        axes.set_xticks(np.geomspace(low, high, 5)[1:-1])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
    figure.legend(frameon=False, fontsize=9, ncols=2, loc="outside upper left", markerscale=1.6)
    return _as_svg(figure)


def _rows_by_category(records: Sequence[EvaluationRecord]) -> dict[str, list[EvaluationRecord]]:
    """Return the measurable rows under the summary's names of their categories."""
    groups: dict[str, list[EvaluationRecord]] = {}
    for record, name in zip(records, category_names(records), strict=True):
        if np.isfinite(record.dice):
            groups.setdefault(name, []).append(record)
    return dict(sorted(groups.items()))


def _thinned(records: list[EvaluationRecord]) -> list[EvaluationRecord]:
    return records[:: len(records) // MOST_POINTS + 1]


def _canvas(*, height: float) -> "tuple[Figure, Axes]":
    """Return an empty plot in the page's style, without touching matplotlib's global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(5.8, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=10)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def _as_svg(figure: "Figure") -> str:
    """Return the figure as an `<svg>` element that takes the width it is given."""
    import matplotlib as mpl  # noqa: PLC0415

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "samuspretrain"}):
        figure.savefig(stream, format="svg", dpi=160, metadata={"Date": None})
    return stream.getvalue()[stream.getvalue().index("<svg") :]
