"""Whether a model knows which categories are in an image, and how sure it may be believed to be.

Ranking is told within one source: between sources the category can often be read off the look of
the scanner, because each source has its own organs.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float

from .measured_rows import MeasuredRows

NUM_BINS = 10
"""Of equal width, over the probability that the model states."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresenceRanking:
    """How well presence logits tell images with a category from images without, of one source."""

    num_present: int
    num_absent: int
    auc: float
    """Chance that an image with the category has the higher logit than one without; ties count
    half. 0.5 is guessing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresenceCalibration:
    """How often what a model calls present with some probability is there; bins are columns."""

    counts: tuple[int, ...]
    mean_stated: tuple[float, ...]
    """Mean probability that the model states in a bin; NaN for an empty one."""

    share_present: tuple[float, ...]
    """Share of the bin's rows where the category is in the image."""

    expected_error: float
    """Mean over rows of the distance between the two above in their bin."""

    brier_score: float
    """Mean squared distance of the stated probability from 0 or 1; 0.25 for saying one half."""


def rank_presence(rows: MeasuredRows) -> dict[str, PresenceRanking]:
    """Return the ranking by `source / category`, for those that have images of both kinds."""
    rankings: dict[str, PresenceRanking] = {}
    for name, chosen in judged_groups(rows).items():
        logits, is_present = rows.presence_logit[chosen], rows.has_reference[chosen]
        rankings[name] = PresenceRanking(
            num_present=int(is_present.sum()),
            num_absent=int((~is_present).sum()),
            auc=_area_under_curve(logits, is_present),
        )
    return rankings


def judged_groups(rows: MeasuredRows) -> dict[str, np.ndarray]:
    """Return the places of each `source / category` with and without images of it, by name."""
    judged = np.isfinite(rows.presence_logit)
    combined = rows.source.codes * len(rows.category.names) + rows.category.codes
    groups: dict[str, np.ndarray] = {}
    for code in np.unique(combined[judged]).tolist():
        chosen = np.flatnonzero(judged & (combined == code))
        source, category = divmod(code, len(rows.category.names))
        is_present = rows.has_reference[chosen]
        if is_present.any() and not is_present.all():
            groups[f"{rows.source.names[source]} / {rows.category.names[category]}"] = chosen
    return dict(sorted(groups.items()))


def roc_curve(
    logits: Float[np.ndarray, " row"], is_present: Bool[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Return shares of false and of true positives, from the strictest threshold to the laxest."""
    order = np.argsort(-logits, kind="stable")
    last_of_value = np.append(np.diff(logits[order]) != 0, True)
    hits, alarms = np.cumsum(is_present[order]), np.cumsum(~is_present[order])
    return (
        np.concatenate([[0.0], alarms[last_of_value] / alarms[-1]]),
        np.concatenate([[0.0], hits[last_of_value] / hits[-1]]),
    )


def calibrate_presence(rows: MeasuredRows) -> PresenceCalibration | None:
    """Return how far stated probabilities can be believed; None for a model that states none."""
    judged = np.isfinite(rows.presence_logit)
    if not judged.any():
        return None
    stated = 1.0 / (1.0 + np.exp(-rows.presence_logit[judged].clip(-500, 500)))
    is_present = rows.has_reference[judged].astype(np.float64)
    bins = np.minimum((stated * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    sums = [np.bincount(bins, weights=one, minlength=NUM_BINS) for one in (stated, is_present)]
    means = [
        np.divide(one, counts, out=np.full(NUM_BINS, math.nan), where=counts > 0) for one in sums
    ]
    return PresenceCalibration(
        counts=tuple(counts.tolist()),
        mean_stated=tuple(means[0].tolist()),
        share_present=tuple(means[1].tolist()),
        expected_error=float(np.abs(sums[0] - sums[1]).sum() / len(stated)),
        brier_score=float(np.mean((stated - is_present) ** 2)),
    )


def _area_under_curve(
    logits: Float[np.ndarray, " row"], is_present: Bool[np.ndarray, " row"]
) -> float:
    false_positives, true_positives = roc_curve(logits, is_present)
    return float(np.trapezoid(true_positives, false_positives))
