"""How much better one model is than another on what both were asked about."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .confidence_intervals import Interval, bootstrap_difference
from .config import DEFAULT_BOOTSTRAP, BootstrapOptions
from .measured_rows import MeasuredRows, Rows, common_rows, lone_objects, measured_rows

OVERLAPS = ("dice", "iou")
"""Scores that two empty masks do not have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean difference between two models on the rows that both have."""

    difference: Interval
    """First minus second; the first is better beyond chance where `lower` is above 0."""

    p_value: float
    """Two-sided, of a mean difference of 0, from the same replicates; NaN without an interval."""

    num_only_in_first: int
    num_only_in_second: int
    num_not_measurable: int
    """Common rows left out because neither value, or only one distance, can be measured."""


def paired_bootstrap_difference(
    first: Rows,
    second: Rows,
    *,
    value: str = "dice",
    options: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> PairedDifference:
    """Compare two models on the objects that both were asked about.

    Rows are matched by source, image, object and category; model and protocol may differ. Every
    subject is drawn for both models at once, so what makes an image hard cancels out. Where an
    absent category is rightly left empty by one model (it has no Dice) and marked by the other (its
    Dice is 0), the first one's overlap counts as 1.

    Args:
        first: Rows of one model under one protocol.
        second: Rows of the other one.
        value: Name of the compared metric.
        options: Number of resamples, confidence, method and seed.

    Raises:
        ValueError: The two have no row in common, or one of them is about several models,
            protocols or tiers.
    """
    mine, theirs = (_of_one_model(rows) for rows in (first, second))
    paired = difference_of(mine, theirs, value=value, options=options)
    if paired is None:
        raise ValueError(
            f"The two sets of records ({len(mine)} and {len(theirs)} rows) share no object. "
            "Evaluate both models on the same corpus, with protocols of the same kind."
        )
    return paired


def difference_of(
    first: MeasuredRows,
    second: MeasuredRows,
    *,
    value: str = "dice",
    options: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> PairedDifference | None:
    """Compare two models; None where they were never asked about the same mask.

    A prompted model has a row for each object, one that finds by itself for each category. Where a
    category has one object in an image, both rows are about the same mask, and there the two kinds
    are compared.
    """
    if first.is_by_category != second.is_by_category:
        first, second = lone_objects(first), lone_objects(second)
    in_first, in_second = common_rows(first, second)
    if not len(in_first):
        return None
    mine, theirs = first.values[value][in_first], second.values[value][in_second]
    differences = overlap_differences(mine, theirs) if value in OVERLAPS else mine - theirs
    interval, p_value = bootstrap_difference(
        differences, subjects=first.subject.codes[in_first], options=options
    )
    return PairedDifference(
        difference=interval,
        p_value=p_value,
        num_only_in_first=len(first) - len(in_first),
        num_only_in_second=len(second) - len(in_second),
        num_not_measurable=len(in_first) - interval.num_rows,
    )


def overlap_differences(
    first: Float[np.ndarray, " row"], second: Float[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Return the differences of two overlaps with the same references.

    An overlap is NaN only where answer and reference both are empty. If one of the two is, it
    counts as 1: that answer is right, and the other one marks what is not there.
    """
    mine = np.where(np.isnan(first) & ~np.isnan(second), 1.0, first)
    return mine - np.where(np.isnan(second) & ~np.isnan(first), 1.0, second)


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm 1979), in the order given.

    Those that are NaN were no tests; they stay NaN and do not count.
    """
    tested = sorted(
        (at for at, value in enumerate(p_values) if not math.isnan(value)),
        key=lambda at: p_values[at],
    )
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, at in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def _of_one_model(rows: Rows) -> MeasuredRows:
    groups = measured_rows(rows)
    if len(groups) != 1:
        found = [(group.model, group.protocol, group.tier) for group in groups]
        raise ValueError(
            "A paired comparison takes the rows of one model under one protocol in one tier, found "
            f"{found or 'no rows'}. Choose them by `model`, `protocol` and `tier` first."
        )
    return groups[0]
