"""Whether a new version is better than the champion beyond chance, on the same held-out corpus."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.paired_difference import paired_bootstrap_difference
from evaluation.records import EvaluationRecord
from shards import Corpus


@dataclass(frozen=True, kw_only=True)
class HeldOutResult:
    """What a deployable reached on a held-out corpus."""

    corpus: Corpus
    protocol: str
    records: Sequence[EvaluationRecord]

    @property
    def records_file(self) -> str:
        """Name under which the rows are kept with a version, the same for the same question."""
        digest = self.corpus.manifest.content_hash.removeprefix("sha256:")[:16]
        return f"records-{digest}-{self.protocol}.parquet"

    @property
    def mean_dice(self) -> float:
        """Mean over the rows that could be measured."""
        measured = [row.dice for row in self.records if math.isfinite(row.dice)]
        return math.fsum(measured) / len(measured) if measured else math.nan


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """Whether a version becomes champion, and why."""

    is_champion: bool
    reason: str


def decide_promotion(
    challenger: Sequence[EvaluationRecord],
    champion_rows: Sequence[EvaluationRecord],
    *,
    champion: str,
) -> Promotion:
    """Say whether the challenger beats the champion beyond chance, and put it into words.

    Args:
        challenger: Rows of the new version.
        champion_rows: Rows of the present champion on the same corpus and protocol.
        champion: Its version, for the words.
    """
    paired = paired_bootstrap_difference(challenger, champion_rows)
    difference = paired.difference
    figures = (
        f"mean Dice difference {difference.mean:+.4f} "
        f"[{difference.lower:+.4f}, {difference.upper:+.4f}] on {difference.num_rows} objects"
    )
    if paired.num_only_in_first or paired.num_only_in_second:
        return Promotion(
            is_champion=False,
            reason=f"not comparable with champion version {champion}: "
            f"{paired.num_only_in_first + paired.num_only_in_second} objects have one row only",
        )
    if difference.lower > 0:
        return Promotion(is_champion=True, reason=f"beats version {champion}: {figures}")
    if math.isnan(difference.lower):
        return Promotion(
            is_champion=False,
            reason=f"cannot be told from champion version {champion}: {figures}; an interval needs "
            "at least two subjects",
        )
    return Promotion(
        is_champion=False,
        reason=f"does not beat champion version {champion}: {figures}; the lower bound must be "
        "above 0",
    )
