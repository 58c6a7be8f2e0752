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

DRAWS_AT_ONCE = 500_000
"""Subjects drawn before they are summed: bounds memory, and stays within the caches."""

MOST_UNITS = 4_000
"""More subjects than this are put together at random into so many units, which are drawn instead.
Spread and skew of the mean stay the same in expectation, and their error from so many units (about
1 %) is less than that of some thousand replicates."""

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
        resampled = _resample(together, subjects=labels[is_measured], options=options)
        for at, name in enumerate(names):
            intervals[name] = resampled.interval(at)
    return {name: intervals[name] for name in values}


def bootstrap_difference(
    differences: Float[np.ndarray, " row"],
    *,
    subjects: Sequence[str] | np.ndarray,
    options: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> tuple[Interval, float]:
    """Return the interval of a mean difference, and its two-sided p-value.

    The p-value is 1 minus the largest confidence at which the interval leaves 0 out, so the two
    never contradict each other. It is at least one share of the replicates, and NaN where there is
    no interval.

    Args:
        differences: One a row; NaN rows are left out.
        subjects: Whom each row is about.
        options: Number of resamples, confidence, method and seed.
    """
    is_measured = np.isfinite(differences)
    resampled = _resample(
        differences[is_measured][None], subjects=np.asarray(subjects)[is_measured], options=options
    )
    return resampled.interval(0), resampled.p_value(0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Resampled:
    """Means of some columns, and the replicates that their intervals are read off."""

    means: Float[np.ndarray, " column"]
    replicates: Float[np.ndarray, "replicate column"]
    """Deviations from the means; none where nothing was resampled."""

    deviations: Float[np.ndarray, "subject column"]
    """Sum over each unit's rows of the deviation from the mean."""

    counts: Float[np.ndarray, " subject"]
    num_rows: int
    num_subjects: int
    options: BootstrapOptions

    def interval(self, column: int) -> Interval:
        mean, lower, upper = float(self.means[column]), math.nan, math.nan
        if len(self.replicates):
            tail = (1.0 - self.options.confidence) / 2.0
            shares = self._corrected(column, np.array([tail, 1.0 - tail]))
            lower, upper = (mean + np.quantile(self.replicates[:, column], shares)).tolist()
        return Interval(
            mean=mean,
            lower=lower,
            upper=upper,
            num_rows=self.num_rows,
            num_subjects=self.num_subjects,
        )

    def p_value(self, column: int) -> float:
        if not len(self.replicates):
            return math.nan
        share = self._uncorrected(column, self._share_below(column, -float(self.means[column])))
        return min(1.0, max(2.0 * min(share, 1.0 - share), 1.0 / (len(self.replicates) + 1)))

    def _corrected(
        self, column: int, shares: Float[np.ndarray, " bound"]
    ) -> Float[np.ndarray, " bound"]:
        """Return the shares of the replicates below which the bounds lie."""
        from scipy.stats import norm  # noqa: PLC0415

        bias, acceleration = self._bias_and_acceleration(column)
        shifted = bias + norm.ppf(shares)
        return norm.cdf(bias + shifted / (1.0 - acceleration * shifted))

    def _uncorrected(self, column: int, share: float) -> float:
        """Return the share whose corrected one this is."""
        from scipy.stats import norm  # noqa: PLC0415

        if not 0.0 < share < 1.0:
            return share
        bias, acceleration = self._bias_and_acceleration(column)
        shifted = norm.ppf(share) - bias
        return float(norm.cdf(shifted / (1.0 + acceleration * shifted) - bias))

    def _share_below(self, column: int, deviation: float) -> float:
        """Return the share of replicates below a deviation from the mean; equal ones count half."""
        replicates = self.replicates[:, column]
        if np.ptp(replicates) <= NO_SPREAD:
            replicates, deviation = np.zeros(1), 0.0 if abs(deviation) <= NO_SPREAD else deviation
        return float(np.mean(replicates < deviation) + 0.5 * np.mean(replicates == deviation))

    def _bias_and_acceleration(self, column: int) -> tuple[float, float]:
        """Return the two corrections of `bca` (Efron 1987); none for `percentile`."""
        from scipy.stats import norm  # noqa: PLC0415

        share = self._share_below(column, 0.0)
        has_spread = np.ptp(self.replicates[:, column]) > NO_SPREAD
        if self.options.method != "bca" or not has_spread or not 0.0 < share < 1.0:
            return 0.0, 0.0
        # Mean deviation without each subject: the jackknife of a mean over rows.
        left_out = -self.deviations[:, column] / (self.counts.sum() - self.counts)
        spread = left_out - left_out.mean()
        acceleration = -np.sum(spread**3) / (6.0 * np.sum(spread**2) ** 1.5)
        return float(norm.ppf(share)), float(acceleration)


def _resample(
    values: Float[np.ndarray, "column row"], *, subjects: np.ndarray, options: BootstrapOptions
) -> _Resampled:
    """Draw subjects for all columns of a table without NaN at once."""
    num_columns, num_rows = values.shape
    _, unit_of_row = np.unique(subjects, return_inverse=True)
    num_subjects = int(unit_of_row.max(initial=-1)) + 1
    if num_subjects > MOST_UNITS:
        generator = np.random.default_rng(options.seed)
        unit_of_row = (generator.permutation(num_subjects) % MOST_UNITS)[unit_of_row]
    counts = np.bincount(unit_of_row).astype(np.float64)
    means = values.mean(axis=1) if num_rows else np.full(num_columns, math.nan)
    # Deviations from the mean: columns without spread then have replicates without rounding noise.
    deviations = np.stack(
        [
            np.bincount(unit_of_row, weights=values[at] - means[at], minlength=len(counts))
            for at in range(num_columns)
        ],
        axis=1,
        dtype=np.float64,
    )
    replicates = np.empty((0, num_columns))
    if num_subjects > 1 and options.num_resamples > 0:
        replicates = _resampled_means(deviations, counts=counts, options=options)
    return _Resampled(
        means=means,
        replicates=replicates,
        deviations=deviations,
        counts=counts,
        num_rows=num_rows,
        num_subjects=num_subjects,
        options=options,
    )


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
