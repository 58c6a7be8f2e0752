"""Plots of a report, as SVG that stands inside the page."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from evaluation.confidence_intervals import Interval
from evaluation.measured_rows import MeasuredRows
from evaluation.presence import PresenceCalibration, judged_groups, roc_curve
from evaluation.summary import Summary, named_categories, places_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1c2733"
FAINT = "#d9e0e7"
ACCENT = "#0b7285"
MEAN = "#e8590c"
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
"""One a source or model, in turn."""

MOST_POINTS = 4_000
"""Points drawn in one plot; of more rows every n-th is shown, and the text below says so."""

WIDTH_INCHES = 5.8


def dice_by_category(rows: MeasuredRows, *, summary: Summary) -> str:
    """Return the distribution of Dice in every category: all rows, quartiles, mean and interval."""
    dice = rows.values["dice"]
    groups = {
        name: places[np.isfinite(dice[places])]
        for name, places in places_by(named_categories(rows)).items()
        if np.isfinite(dice[places]).any()
    }
    figure, axes = _canvas(height=1.1 + 0.62 * len(groups))
    generator = np.random.default_rng(0)
    for place, (name, chosen) in enumerate(groups.items()):
        values = dice[_thinned(chosen)]
        spread = generator.uniform(-0.24, 0.24, size=len(values))
        axes.scatter(
            values, place + spread, s=11, color=ACCENT, alpha=0.35, linewidths=0, rasterized=True
        )
        quartiles = np.quantile(dice[chosen], [0.25, 0.5, 0.75])
        axes.plot(quartiles[[0, 2]], [place, place], color=INK, linewidth=5, alpha=0.35)
        axes.plot([quartiles[1]] * 2, [place - 0.2, place + 0.2], color=INK, linewidth=2)
        _draw_interval(axes, summary.by_category[name].metrics["dice"], place=place - 0.36)
    axes.set_yticks(range(len(groups)), [f"{name}\nn={len(groups[name])}" for name in groups])
    axes.set_ylim(len(groups) - 0.45, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("Dice")
    return _as_svg(figure)


def dice_against_size(rows: MeasuredRows) -> str:
    """Return Dice against the reference's share of the image; small structures are on the left."""
    figure, axes = _canvas(height=3.6)
    for place, (source, places) in enumerate(places_by(rows.source).items()):
        shown = _thinned(places[rows.has_reference[places]])
        axes.scatter(
            100 * rows.share_of_image[shown],
            rows.values["dice"][shown],
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
    _legend_above(figure)
    return _as_svg(figure)


def click_curves(curves: Mapping[str, Mapping[int, Interval]]) -> str:
    """Return mean Dice against the number of clicks, with its interval.

    Args:
        curves: Of each model, by its name: mean Dice after so many clicks.
    """
    figure, axes = _canvas(height=3.6)
    for place, (name, curve) in enumerate(curves.items()):
        clicks, colour = list(curve), COLOURS[place % len(COLOURS)]
        axes.plot(clicks, [one.mean for one in curve.values()], "o-", color=colour, label=name)
        bounds = np.array([(one.lower, one.upper) for one in curve.values()])
        axes.fill_between(clicks, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.18, linewidth=0)
    axes.set_xticks(sorted({clicks for curve in curves.values() for clicks in curve}))
    axes.set_xlabel("clicks")
    axes.set_ylabel("mean Dice")
    _legend_above(figure)
    return _as_svg(figure)


def heat_map(
    values: Float[np.ndarray, "protocol column"],
    *,
    protocols: Sequence[str],
    columns: Sequence[str],
) -> str:
    """Return mean Dice by protocol and by category or model; the number stands in each field."""
    figure, axes = _canvas(height=1.3 + 0.36 * len(protocols))
    axes.imshow(values, cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto")
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = float(values[row, column])
        dark = value < 0.6
        axes.text(
            column,
            row,
            f"{value:.3f}",
            ha="center",
            va="center",
            fontsize=10,
            color="white" if dark else INK,
        )
    axes.grid(visible=False)
    axes.set_yticks(range(len(protocols)), list(protocols))
    axes.set_xticks(range(len(columns)), [_folded(name) for name in columns])
    axes.xaxis.tick_top()
    return _as_svg(figure)


def presence_calibration(calibration: PresenceCalibration) -> str:
    """Return how often a category is there against how probable the model calls it."""
    figure, axes = _canvas(height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=2)
    counts = np.array(calibration.counts)
    axes.plot(calibration.mean_stated, calibration.share_present, color=ACCENT, linewidth=1)
    axes.scatter(
        calibration.mean_stated,
        calibration.share_present,
        s=20 + 200 * counts / counts.max(),
        color=ACCENT,
        alpha=0.7,
        linewidths=0,
    )
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel("stated probability that the category is there")
    axes.set_ylabel("share of images where it is")
    return _as_svg(figure)


def presence_roc(rows: MeasuredRows) -> str:
    """Return the ROC curve of every category within one source that has both kinds of images."""
    figure, axes = _canvas(height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=2)
    for place, (name, chosen) in enumerate(judged_groups(rows).items()):
        false, true = roc_curve(rows.presence_logit[chosen], rows.has_reference[chosen])
        axes.plot(false, true, color=COLOURS[place % len(COLOURS)], label=name)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("share of images without it that are called positive")
    axes.set_ylabel("share of images with it")
    _legend_above(figure)
    return _as_svg(figure)


def difference_plot(differences: Mapping[str, Interval], *, title: str) -> str:
    """Return mean Dice differences with their intervals; right of 0 is better."""
    figure, axes = _canvas(height=1.2 + 0.4 * len(differences))
    axes.axvline(0.0, color=INK, linewidth=1)
    for place, interval in enumerate(differences.values()):
        _draw_interval(axes, interval, place=float(place))
    axes.set_yticks(range(len(differences)), list(differences))
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set_xlabel(title)
    return _as_svg(figure)


def _draw_interval(axes: "Axes", interval: Interval, *, place: float) -> None:
    error = np.array([[interval.mean - interval.lower], [interval.upper - interval.mean]])
    # Rounding can put the mean of equal values beside their bounds.
    axes.errorbar(interval.mean, place, xerr=error.clip(min=0), fmt="D", color=MEAN, markersize=5)


def _thinned(places: np.ndarray) -> np.ndarray:
    return places[:: len(places) // MOST_POINTS + 1]


def _folded(name: str) -> str:
    return name.replace(" / ", "\n").replace("_", "_\n" if len(name) > 12 else "_")


def _legend_above(figure: "Figure") -> None:
    figure.legend(frameon=False, fontsize=9, ncols=2, loc="outside upper left", markerscale=1.6)


def _canvas(*, height: float) -> "tuple[Figure, Axes]":
    """Return an empty plot in the page's style, without touching matplotlib's global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
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
