"""Means with intervals, overall and in strata, from evaluation records."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .confidence_intervals import Interval, bootstrap_means
from .config import DEFAULT_BOOTSTRAP, BootstrapOptions
from .presence import PresenceRanking, rank_presence
from .records import EvaluationRecord, column

SUMMARY_FORMAT_VERSION = 1

METRICS: dict[str, str] = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_pixels": "HD95 (px)",
    "hd95_millimetres": "HD95 (mm)",
    "average_surface_distance_pixels": "ASSD (px)",
    "average_surface_distance_millimetres": "ASSD (mm)",
    "normalised_surface_dice": "surface Dice (px)",
    "normalised_surface_dice_millimetres": "surface Dice (mm)",
    "detection_rate": "detected",
    "miss_rate": "missed",
    "false_positive_rate": "false positives",
    "presence_accuracy": "presence right",
}
"""Every summarised quantity and its short title, in the order of the tables."""

SHARES = frozenset({"detection_rate", "miss_rate", "false_positive_rate", "presence_accuracy"})
"""Quantities that are shares of rows, shown in percent."""

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
    """What one model achieved under one protocol."""

    model: str
    protocol: str
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

    def scores(self) -> dict[str, float]:
        """Return the overall means by metric name, for logs and for choosing a checkpoint."""
        return {name: interval.mean for name, interval in self.overall.metrics.items()}

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values; NaN becomes null."""
        content = {"format_version": SUMMARY_FORMAT_VERSION, **dataclasses.asdict(self)}
        return _without_nan(content)


def summarise(
    records: Sequence[EvaluationRecord], *, bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP
) -> Summary:
    """Summarise the rows of one model under one protocol.

    Args:
        records: Rows of any sources; the order does not matter.
        bootstrap: How intervals are computed; `num_resamples=0` leaves them out.

    Raises:
        ValueError: There are no rows, or rows of several models or protocols.
    """
    asked = {(record.model, record.protocol) for record in records}
    if len(asked) != 1:
        raise ValueError(
            f"A summary is about one model under one protocol, found {sorted(asked) or 'no rows'}. "
            "Use summarise_each for several."
        )
    (model, protocol), rows = asked.pop(), sorted(records, key=lambda record: record.identity)
    by_size, size_limits = _split_by_size(rows)
    return Summary(
        model=model,
        protocol=protocol,
        overall=summarise_stratum(rows, bootstrap=bootstrap),
        by_source=_strata(rows, names=[row.source for row in rows], bootstrap=bootstrap),
        by_category=_strata(rows, names=category_names(rows), bootstrap=bootstrap),
        by_size={
            name: summarise_stratum(members, bootstrap=bootstrap)
            for name, members in by_size.items()
        },
        size_limits=size_limits,
        bootstrap=bootstrap,
        presence=rank_presence(rows),
    )


def summarise_each(
    records: Iterable[EvaluationRecord], *, bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP
) -> list[Summary]:
    """Summarise every (model, protocol) that the rows hold, in alphabetical order."""

    def asked(record: EvaluationRecord) -> tuple[str, str]:
        return record.model, record.protocol

    groups = itertools.groupby(sorted(records, key=asked), key=asked)
    return [summarise(list(rows), bootstrap=bootstrap) for _, rows in groups]


def summarise_stratum(
    records: Sequence[EvaluationRecord], *, bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP
) -> Stratum:
    """Summarise some rows: every metric that can be measured on at least one of them."""
    has_reference = column(records, "reference_pixels") > 0
    is_miss = column(records, "is_miss").astype(bool)
    is_false_positive = column(records, "is_false_positive").astype(bool)
    is_detected = column(records, "is_detected").astype(float)
    values = {name: column(records, name) for name in METRICS if name not in SHARES}
    values["detection_rate"] = np.where(has_reference, is_detected, np.nan)
    values["miss_rate"] = np.where(has_reference, is_miss, np.nan)
    values["false_positive_rate"] = np.where(has_reference, np.nan, is_false_positive)
    presence = column(records, "presence_logit")
    is_right = (presence > 0) == has_reference
    values["presence_accuracy"] = np.where(np.isfinite(presence), is_right, np.nan)
    labels, subjects = np.unique(subject_labels(records), return_inverse=True)
    is_unknown = ~column(records, "subject_is_known").astype(bool)
    measurable = {name: values[name] for name in METRICS if np.isfinite(values[name]).any()}
    return Stratum(
        num_rows=len(records),
        num_images=len({(record.source, record.key) for record in records}),
        num_subjects=len(labels),
        num_unknown_subjects=len(np.unique(subjects[is_unknown])),
        num_misses=int(is_miss.sum()),
        num_false_positives=int(is_false_positive.sum()),
        metrics=bootstrap_means(measurable, subjects=subjects, options=bootstrap),
    )


def subject_labels(records: Sequence[EvaluationRecord]) -> np.ndarray:
    """Return whom each row is about; subjects of two sources are never the same one."""
    return np.array([f"{record.source}/{record.subject}" for record in records])


def _strata(
    records: Sequence[EvaluationRecord], *, names: Sequence[str], bootstrap: BootstrapOptions
) -> dict[str, Stratum]:
    members: dict[str, list[EvaluationRecord]] = {}
    for record, name in zip(records, names, strict=True):
        members.setdefault(name, []).append(record)
    return {name: summarise_stratum(members[name], bootstrap=bootstrap) for name in sorted(members)}


def category_names(records: Sequence[EvaluationRecord]) -> list[str]:
    """Return each row's category, with its source where several sources annotate it."""
    sources: dict[str, set[str]] = {}
    for record in records:
        sources.setdefault(record.category, set()).add(record.source)
    return [
        f"{record.source} / {record.category}"
        if len(sources[record.category]) > 1
        else record.category
        for record in records
    ]


def _split_by_size(
    records: Sequence[EvaluationRecord],
) -> tuple[dict[str, list[EvaluationRecord]], tuple[float, float]]:
    """Return the tertiles of the reference's share of the image, and the shares between them."""
    present = [record for record in records if record.reference_pixels > 0]
    shares = np.array([share_of_image(record) for record in present])
    if len(np.unique(shares)) < len(SIZE_STRATA):
        return {}, (math.nan, math.nan)
    limits = np.quantile(shares, [1 / 3, 2 / 3])
    places = np.searchsorted(limits, shares, side="left")
    strata: dict[str, list[EvaluationRecord]] = {name: [] for name in SIZE_STRATA}
    for record, place in zip(present, places, strict=True):
        strata[SIZE_STRATA[place]].append(record)
    filled = {name: rows for name, rows in strata.items() if rows}
    return filled, (float(limits[0]), float(limits[1]))


def share_of_image(record: EvaluationRecord) -> float:
    """Return the reference's share of the image's pixels."""
    return record.reference_pixels / (record.image_rows * record.image_columns)


def _without_nan(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
