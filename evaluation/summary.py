"""Means with intervals, overall and in strata, from evaluation records."""

import dataclasses
import math
from typing import Any

import numpy as np
import pyarrow as pa

from .confidence_intervals import Interval, bootstrap_means
from .config import DEFAULT_BOOTSTRAP, BootstrapOptions
from .measured_rows import Labels, MeasuredRows, Rows, measured_rows
from .presence import PresenceCalibration, PresenceRanking, calibrate_presence, rank_presence

SUMMARY_FORMAT_VERSION = 2

METRICS: dict[str, str] = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_pixels": "HD95 (px)",
    "hd95_millimetres": "HD95 (mm)",
    "average_surface_distance_pixels": "ASSD (px)",
    "average_surface_distance_millimetres": "ASSD (mm)",
    "normalised_surface_dice": "surface Dice (px)",
    "normalised_surface_dice_millimetres": "surface Dice (mm)",
    "area_error": "area error",
    "area_bias": "area bias",
    "area_error_square_millimetres": "area error (mm2)",
    "detection_rate": "detected",
    "miss_rate": "missed",
    "false_positive_rate": "false positives",
    "false_positives_per_image": "FP per empty image",
    "presence_accuracy": "presence right",
}
"""Every summarised quantity and its short title, in the order of the tables."""

SHARES = frozenset(
    {
        "area_error",
        "area_bias",
        "detection_rate",
        "miss_rate",
        "false_positive_rate",
        "presence_accuracy",
    }
)
"""Quantities that are shares (of rows, or of the reference's area), shown in percent."""

SIZE_STRATA = ("small", "medium", "large")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stratum:
    """Some of the rows, summarised."""

    num_rows: int
    num_images: int
    num_subjects: int
    num_unknown_subjects: int
    """Images whose subject the source does not name; each counts as a subject of its own."""

    num_misses: int
    """Rows with something to find where nothing was found; HD95 is the image's diagonal there."""

    num_false_positives: int
    """Rows with nothing to find where something was found."""

    metrics: dict[str, Interval]
    """By name, as in `METRICS`; only what could be measured on at least one row."""

    def mean(self, name: str) -> float:
        """Return the mean of a metric; NaN where no row could be measured."""
        return self.metrics[name].mean if name in self.metrics else math.nan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What one model achieved under one protocol in one tier."""

    model: str
    protocol: str
    tier: str
    """A key of `TIERS`."""

    overall: Stratum
    by_source: dict[str, Stratum]
    by_category: dict[str, Stratum]
    """Keys are `source / category` where a category comes from several sources, else `category`."""

    by_size: dict[str, Stratum]
    """Tertiles of the reference's share of the image; rows with an empty reference are left out."""

    size_limits: tuple[float, float]
    """Shares of the image that part small from medium, and medium from large; NaN if undefined."""

    bootstrap: BootstrapOptions
    presence: dict[str, PresenceRanking] = dataclasses.field(default_factory=dict)
    """By `source / category`; empty for a model that does not judge presence."""

    calibration: PresenceCalibration | None = None
    """Of all rows; None for a model that does not judge presence."""

    def scores(self) -> dict[str, float]:
        """Return the overall means by metric name, for logs and for choosing a checkpoint."""
        return {name: interval.mean for name, interval in self.overall.metrics.items()}

    def strata(self) -> dict[str, dict[str, Stratum]]:
        """Return every stratum, by what parts the rows and by its name."""
        return {
            "overall": {"all": self.overall},
            "source": self.by_source,
            "category": self.by_category,
            "size": self.by_size,
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values; NaN becomes null."""
        content = {"format_version": SUMMARY_FORMAT_VERSION, **dataclasses.asdict(self)}
        return without_nan(content)


def summarise(rows: Rows, *, bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP) -> Summary:
    """Summarise the rows of one model under one protocol in one tier.

    Args:
        rows: Of any sources; the order does not matter.
        bootstrap: How intervals are computed; `num_resamples=0` leaves them out.

    Raises:
        ValueError: There are no rows, or rows of several models, protocols or tiers.
    """
    groups = measured_rows(rows)
    if len(groups) != 1:
        found = [(group.model, group.protocol, group.tier) for group in groups]
        raise ValueError(
            f"A summary is about one model under one protocol in one tier, found "
            f"{found or 'no rows'}. Use summarise_each for several."
        )
    return summarise_measured(groups[0], bootstrap=bootstrap)


def summarise_each(rows: Rows, *, bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP) -> list[Summary]:
    """Summarise every (model, protocol, tier) that the rows hold, in alphabetical order."""
    return [summarise_measured(group, bootstrap=bootstrap) for group in measured_rows(rows)]


def summarise_measured(
    rows: MeasuredRows, *, bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP
) -> Summary:
    """Summarise rows of one model under one protocol in one tier, which are by column already."""
    by_size, size_limits = _places_by_size(rows)
    return Summary(
        model=rows.model,
        protocol=rows.protocol,
        tier=rows.tier,
        overall=_summarise_stratum(rows, bootstrap=bootstrap),
        by_source=_strata(rows, places_by(rows.source), bootstrap=bootstrap),
        by_category=_strata(rows, places_by(named_categories(rows)), bootstrap=bootstrap),
        by_size=_strata(rows, by_size, bootstrap=bootstrap),
        size_limits=size_limits,
        bootstrap=bootstrap,
        presence=rank_presence(rows),
        calibration=calibrate_presence(rows),
    )


def subject_means(rows: MeasuredRows) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, by metric, every subject's mean and number of measured rows, in their order."""
    codes, num_subjects = rows.subject.codes, len(rows.subject.names)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, values in rows.values.items():
        measured = np.isfinite(values)
        counts = np.bincount(codes[measured], minlength=num_subjects)
        sums = np.bincount(codes[measured], weights=values[measured], minlength=num_subjects)
        found[name] = sums / np.maximum(counts, 1), counts
    return found


def named_categories(rows: MeasuredRows) -> Labels:
    """Return each row's category, with its source where several sources annotate it."""
    pairs, codes = np.unique(
        np.stack([rows.category.codes, rows.source.codes]), axis=1, return_inverse=True
    )
    num_sources = np.bincount(pairs[0], minlength=len(rows.category.names))
    names = [
        f"{rows.source.names[source]} / {rows.category.names[category]}"
        if num_sources[category] > 1
        else str(rows.category.names[category])
        for category, source in pairs.T.tolist()
    ]
    return Labels(codes=codes.ravel(), names=pa.array(names))


def places_by(labels: Labels) -> dict[str, np.ndarray]:
    """Return the places of the rows under each name, by name."""
    found = {
        str(labels.names[code]): np.flatnonzero(labels.codes == code)
        for code in np.unique(labels.codes).tolist()
    }
    return dict(sorted(found.items()))


def _summarise_stratum(rows: MeasuredRows, *, bootstrap: BootstrapOptions) -> Stratum:
    """Summarise some rows: every metric that can be measured on at least one of them."""
    values = {**rows.values, "false_positives_per_image": _false_positives_per_image(rows)}
    measurable = {name: values[name] for name in METRICS if np.isfinite(values[name]).any()}
    unknown = rows.subject.codes[~rows.subject_is_known]
    return Stratum(
        num_rows=len(rows),
        num_images=len(np.unique(rows.image)),
        num_subjects=len(np.unique(rows.subject.codes)),
        num_unknown_subjects=len(np.unique(unknown)),
        num_misses=round(np.nansum(values["miss_rate"])),
        num_false_positives=round(np.nansum(values["false_positive_rate"])),
        metrics=bootstrap_means(measurable, subjects=rows.subject.codes, options=bootstrap),
    )


def _false_positives_per_image(rows: MeasuredRows) -> np.ndarray:
    """Return, at the first row of each image without any structure, how many answers it got."""
    _, first, places = np.unique(rows.image, return_index=True, return_inverse=True)
    num_found = np.bincount(places, weights=np.nan_to_num(rows.values["false_positive_rate"]))
    counts = np.full(len(rows), np.nan)
    counts[first] = np.where(rows.image_is_empty[first], num_found, np.nan)
    return counts


def _strata(
    rows: MeasuredRows, places: dict[str, np.ndarray], *, bootstrap: BootstrapOptions
) -> dict[str, Stratum]:
    return {
        name: _summarise_stratum(rows.at(chosen), bootstrap=bootstrap)
        for name, chosen in places.items()
    }


def _places_by_size(
    rows: MeasuredRows,
) -> tuple[dict[str, np.ndarray], tuple[float, float]]:
    """Return the tertiles of the reference's share of the image, and the shares between them."""
    present = np.flatnonzero(rows.has_reference)
    shares = rows.share_of_image[present]
    if len(np.unique(shares)) < len(SIZE_STRATA):
        return {}, (math.nan, math.nan)
    limits = np.quantile(shares, [1 / 3, 2 / 3])
    strata = np.searchsorted(limits, shares, side="left")
    places = {name: present[strata == at] for at, name in enumerate(SIZE_STRATA)}
    filled = {name: chosen for name, chosen in places.items() if len(chosen)}
    return filled, (float(limits[0]), float(limits[1]))


def without_nan(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Return a value that JSON can hold: NaN becomes null."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
