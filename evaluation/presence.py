"""Whether a model knows which categories are in an image, told within one source.

Between sources it can often be read off the look of the scanner: each source has its own organs.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from .records import EvaluationRecord, column


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresenceRanking:
    """How well presence logits tell images with a category from images without, of one source."""

    num_present: int
    num_absent: int
    auc: float
    """Chance that an image with the category has the higher logit than one without; ties count
    half. 0.5 is guessing."""


def rank_presence(records: Sequence[EvaluationRecord]) -> dict[str, PresenceRanking]:
    """Return the ranking by `source / category`, for those that have images of both kinds."""
    groups: dict[str, list[EvaluationRecord]] = {}
    for record in records:
        if np.isfinite(record.presence_logit):
            groups.setdefault(f"{record.source} / {record.category}", []).append(record)
    rankings: dict[str, PresenceRanking] = {}
    for name in sorted(groups):
        is_present = column(groups[name], "reference_pixels") > 0
        if is_present.any() and not is_present.all():
            rankings[name] = PresenceRanking(
                num_present=int(is_present.sum()),
                num_absent=int((~is_present).sum()),
                auc=_area_under_curve(column(groups[name], "presence_logit"), is_present),
            )
    return rankings


def _area_under_curve(
    logits: Float[np.ndarray, " row"], is_present: Bool[np.ndarray, " row"]
) -> float:
    _, places, counts = np.unique(logits, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    num_present, num_absent = int(is_present.sum()), int((~is_present).sum())
    above = ranks[is_present].sum() - num_present * (num_present + 1) / 2
    return float(above / (num_present * num_absent))
