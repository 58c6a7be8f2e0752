"""Confidence intervals of a mean over rows, by resampling subjects.

Frames and objects of one subject resemble each other, so resampling rows would give intervals that
are too narrow. Subjects are drawn with replacement, each with all its rows, and the mean over the
drawn rows is one replicate. Only a subject's sum and number of rows enter, so a million rows cost
as much as their subjects.

Axis names used in this file:
    row        one evaluation record
    subject    one subject, with all its rows
    column     one measured quantity
    replicate  one resampled mean
    bound      lower and upper end of an interval
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from .config import DEFAULT_BOOTSTRAP, BootstrapOptions
from .records import EvaluationRecord

DRAWS_AT_ONCE = 500_000
"""Subjects drawn before they are summed: bounds memory, and stays within the caches."""

NO_SPREAD = 1e-12
"""Replicates that differ by less are one value; a correction for skew has nothing to hold on to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and how far it could have come out otherwise with other subjects."""

    mean: float
    """NaN where no row could be measured."""

    lower: float
    """NaN with fewer than two subjects: one subject says nothing about others."""

    upper: float
    num_rows: int
    """Rows that could be measured (not NaN)."""

    num_subjects: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean difference between two models on the rows that both have."""

    difference: Interval
    """First minus second; the first is better beyond chance where `lower` is above 0."""

    num_only_in_first: int
    num_only_in_second: int
    num_not_measurable: int
    """Common rows left out because the value is NaN for at least one of the two."""


def bootstrap_mean(
    values: Float[np.ndarray, " row"] | Int[np.ndarray, " row"],
    *,
    subjects: Sequence[str] | np.ndarray,
    options: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> Interval:
    """Return the mean of the rows with a subject-level interval; NaN rows are left out.

    Args:
        values: One number a row.
        subjects: Whom each row is about, in the order of `values`.
        options: Number of resamples, confidence, method and seed.
    """
    return bootstrap_means({"value": values}, subjects=subjects, options=options)["value"]


def bootstrap_means(
    values: Mapping[str, np.ndarray],
    *,
    subjects: Sequence[str] | np.ndarray,
    options: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> dict[str, Interval]:
    """Return the interval of several columns; those measurable on the same rows share the draws.

    Args:
        values: Columns by name, one number a row; NaN rows are left out of their column.
        subjects: Whom each row is about.
        options: Number of resamples, confidence, method and seed.
    """
    labels = np.asarray(subjects)
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in values.items()}
    alike: dict[bytes, list[str]] = {}
    for name, column in columns.items():
        alike.setdefault(np.packbits(np.isfinite(column)).tobytes(), []).append(name)
    intervals: dict[str, Interval] = {}
    for names in alike.values():
        is_measured = np.isfinite(columns[names[0]])
        together = np.stack([columns[name][is_measured] for name in names])
        found = _intervals(together, subjects=labels[is_measured], options=options)
        intervals.update(zip(names, found, strict=True))
    return {name: intervals[name] for name in values}


def paired_bootstrap_difference(
    first: Sequence[EvaluationRecord],
    second: Sequence[EvaluationRecord],
    *,
    value: str = "dice",
    options: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> PairedDifference:
    """Compare two models on the objects that both were asked about.

    Rows are matched by source, image, object and category; model and protocol may differ. Every
    subject is drawn for both models at once, so what makes an image hard cancels out.

    Args:
        first: Rows of one model under one protocol.
        second: Rows of the other one.
        value: Name of the compared column.
        options: Number of resamples, confidence, method and seed.

    Raises:
        ValueError: The two have no row in common, or one of them holds an object twice.
    """
    values_of_first, values_of_second = _by_object(first, value), _by_object(second, value)
    common = sorted(values_of_first.keys() & values_of_second.keys())
    if not common:
        raise ValueError(
            f"The two sets of records ({len(first)} and {len(second)} rows) share no object. "
            "Evaluate both models on the same corpus, with protocols of the same kind."
        )
    differences = np.array([values_of_first[at] - values_of_second[at] for at in common])
    subject_of = {_object_of(row): f"{row.source}/{row.subject}" for row in first}
    interval = bootstrap_mean(
        differences, subjects=[subject_of[at] for at in common], options=options
    )
    return PairedDifference(
        difference=interval,
        num_only_in_first=len(values_of_first) - len(common),
        num_only_in_second=len(values_of_second) - len(common),
        num_not_measurable=len(common) - interval.num_rows,
    )


def _intervals(
    values: Float[np.ndarray, "column row"], *, subjects: np.ndarray, options: BootstrapOptions
) -> list[Interval]:
    """Return the interval of every column of a table without NaN."""
    num_columns, num_rows = values.shape
    _, subject_of_row = np.unique(subjects, return_inverse=True)
    counts = np.bincount(subject_of_row).astype(np.float64)
    means = values.mean(axis=1) if num_rows else np.full(num_columns, math.nan)
    # Deviations from the mean: columns without spread then have replicates without rounding noise.
    deviations = np.stack(
        [
            np.bincount(subject_of_row, weights=values[at] - means[at], minlength=len(counts))
            for at in range(num_columns)
        ],
        axis=1,
    )
    bounds = np.full((num_columns, 2), math.nan)
    if len(counts) > 1 and options.num_resamples > 0:
        replicates = _resampled_means(deviations, counts=counts, options=options)
        bounds = np.array(
            [
                _bounds(
                    replicates[:, at], deviations=deviations[:, at], counts=counts, options=options
                )
                for at in range(num_columns)
            ]
        )
    return [
        Interval(
            mean=float(mean),
            lower=float(mean + lower),
            upper=float(mean + upper),
            num_rows=num_rows,
            num_subjects=len(counts),
        )
        for mean, (lower, upper) in zip(means, bounds, strict=True)
    ]


def _resampled_means(
    deviations: Float[np.ndarray, "subject column"],
    *,
    counts: Float[np.ndarray, " subject"],
    options: BootstrapOptions,
) -> Float[np.ndarray, "replicate column"]:
    """Return the mean deviation over the rows of each draw of as many subjects as there are."""
    generator = np.random.default_rng(options.seed)
    num_subjects = len(counts)
    sums_and_counts = np.column_stack([deviations, counts])
    at_once = max(1, DRAWS_AT_ONCE // num_subjects)
    replicates = np.empty((options.num_resamples, deviations.shape[1]))
    for start in range(0, options.num_resamples, at_once):
        size = min(at_once, options.num_resamples - start)
        drawn = generator.integers(num_subjects, size=(size, num_subjects))
        drawn += np.arange(size)[:, None] * num_subjects
        times_drawn = np.bincount(drawn.ravel(), minlength=size * num_subjects)
        totals = times_drawn.reshape(size, num_subjects).astype(np.float64) @ sums_and_counts
        replicates[start : start + size] = totals[:, :-1] / totals[:, -1:]
    return replicates


def _bounds(
    replicates: Float[np.ndarray, " replicate"],
    *,
    deviations: Float[np.ndarray, " subject"],
    counts: Float[np.ndarray, " subject"],
    options: BootstrapOptions,
) -> Float[np.ndarray, " bound"]:
    """Return the interval's ends, as deviations from the mean."""
    tail = (1.0 - options.confidence) / 2.0
    quantiles = np.array([tail, 1.0 - tail])
    left_out = -deviations / (counts.sum() - counts)  # mean deviation without each subject
    spread = left_out - left_out.mean()
    share_below = float(np.mean(replicates < 0) + 0.5 * np.mean(replicates == 0))
    if options.method == "bca" and np.ptp(replicates) > NO_SPREAD and 0 < share_below < 1:
        from scipy.stats import norm  # noqa: PLC0415

        bias = norm.ppf(share_below)
        acceleration = -np.sum(spread**3) / (6.0 * np.sum(spread**2) ** 1.5)
        shifted = bias + norm.ppf(quantiles)
        quantiles = norm.cdf(bias + shifted / (1.0 - acceleration * shifted))
    return np.quantile(replicates, quantiles)


def _object_of(record: EvaluationRecord) -> tuple[str, str, int, str]:
    return (record.source, record.key, record.object_index, record.category)


def _by_object(
    records: Sequence[EvaluationRecord], value: str
) -> dict[tuple[str, str, int, str], float]:
    """Return the compared value of every object, which must not come twice."""
    values = {_object_of(record): float(getattr(record, value)) for record in records}
    if len(values) != len(records):
        raise ValueError(
            f"{len(records)} rows are about {len(values)} objects: a paired comparison takes the "
            "rows of one model under one protocol. Choose them by `model` and `protocol` first."
        )
    return values
