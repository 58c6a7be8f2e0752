"""Confidence intervals of a mean over rows, by resampling subjects.

Frames and objects of one subject resemble each other, so resampling rows would give intervals that
are too narrow. Subjects are drawn with replacement, each with all its rows, and the mean over the
drawn rows is one replicate. Only a subject's sum and number of rows enter, so a million rows cost
as much as their subjects.

Axis names used in this file:
    row        one evaluation record
    subject    one subject, with all its rows
    replicate  one resampled mean
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from .config import DEFAULT_BOOTSTRAP, BootstrapOptions
from .records import EvaluationRecord

DRAWS_AT_ONCE = 4_000_000
"""Subjects drawn before they are summed; bounds memory, not the result's accuracy."""


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
    sums, counts = _sum_by_subject(np.asarray(values, dtype=np.float64), np.asarray(subjects))
    num_rows, num_subjects = int(counts.sum()), len(sums)
    mean = float(sums.sum() / num_rows) if num_rows else math.nan
    lower = upper = math.nan
    if num_subjects > 1 and options.num_resamples > 0:
        replicates = _resampled_means(sums, counts=counts, options=options)
        quantiles = _quantiles_to_read(replicates, sums=sums, counts=counts, options=options)
        lower, upper = (float(bound) for bound in np.quantile(replicates, quantiles))
    return Interval(
        mean=mean, lower=lower, upper=upper, num_rows=num_rows, num_subjects=num_subjects
    )


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


def _sum_by_subject(values: np.ndarray, subjects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each subject's sum and number of measurable rows, subjects without one left out."""
    is_measured = np.isfinite(values)
    _, subject_of_row = np.unique(subjects[is_measured], return_inverse=True)
    counts = np.bincount(subject_of_row).astype(np.float64)
    sums = np.bincount(subject_of_row, weights=values[is_measured])
    return sums, counts


def _resampled_means(
    sums: np.ndarray, *, counts: np.ndarray, options: BootstrapOptions
) -> np.ndarray:
    """Return the mean over rows of each draw of as many subjects as there are."""
    generator = np.random.default_rng(options.seed)
    num_subjects = len(sums)
    sum_and_count = sums + 1j * counts  # one gather fetches both
    at_once = max(1, DRAWS_AT_ONCE // num_subjects)
    replicates = np.empty(options.num_resamples)
    for start in range(0, options.num_resamples, at_once):
        stop = min(start + at_once, options.num_resamples)
        drawn = generator.integers(num_subjects, size=(stop - start, num_subjects), dtype=np.int32)
        totals = sum_and_count[drawn].sum(axis=1)
        replicates[start:stop] = totals.real / totals.imag
    return replicates


def _quantiles_to_read(
    replicates: np.ndarray, *, sums: np.ndarray, counts: np.ndarray, options: BootstrapOptions
) -> tuple[float, float]:
    """Return which quantiles of the replicates bound the interval."""
    tail = (1.0 - options.confidence) / 2.0
    if options.method == "percentile" or np.ptp(replicates) == 0:
        return tail, 1.0 - tail
    from scipy.stats import norm  # noqa: PLC0415

    mean = sums.sum() / counts.sum()
    share_below = np.mean(replicates < mean) + 0.5 * np.mean(replicates == mean)
    bias = norm.ppf(share_below)
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    deviation = left_out.mean() - left_out
    acceleration = np.sum(deviation**3) / (6.0 * np.sum(deviation**2) ** 1.5)
    shifted = bias + norm.ppf([tail, 1.0 - tail])
    lower, upper = norm.cdf(bias + shifted / (1.0 - acceleration * shifted))
    return float(lower), float(upper)


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
