"""Options of the evaluation; no torch here, so that `--help` is quick."""

import dataclasses
from typing import Literal

IntervalMethod = Literal["percentile", "bca"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootstrapOptions:
    """How intervals are computed."""

    num_resamples: int = 2_000
    """Resampled means; 0 leaves the intervals out (NaN), for scores that only steer a training."""

    confidence: float = 0.95
    """Share of repetitions in which the interval is meant to hold the true mean."""

    method: IntervalMethod = "percentile"
    """`percentile`, or `bca`: corrected for bias and skew (Efron 1987)."""

    seed: int = 0
    """The same rows and seed give the same interval."""

    def __post_init__(self) -> None:
        if self.num_resamples < 0:
            raise ValueError(
                f"intervals.num_resamples must be 0 or more, got {self.num_resamples}."
            )
        if not 0 < self.confidence < 1:
            raise ValueError(
                f"intervals.confidence must lie between 0 and 1, got {self.confidence}."
            )


DEFAULT_BOOTSTRAP = BootstrapOptions()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """What counts as close, and as found."""

    surface_tolerance_pixels: float = 2.0
    """A boundary pixel within this distance of the other boundary is right (surface Dice)."""

    surface_tolerance_millimetres: float = 1.0
    """The same where the spacing is known, for the column in millimetres."""

    detection_iou: float = 0.5
    """An object counts as detected from this intersection over union on."""

    def __post_init__(self) -> None:
        if self.surface_tolerance_pixels < 0 or self.surface_tolerance_millimetres < 0:
            raise ValueError(
                "scoring.surface_tolerance_pixels and scoring.surface_tolerance_millimetres must "
                f"be 0 or more, got {self.surface_tolerance_pixels} and "
                f"{self.surface_tolerance_millimetres}."
            )
        if not 0 < self.detection_iou <= 1:
            raise ValueError(
                "scoring.detection_iou must lie above 0 and at most at 1, "
                f"got {self.detection_iou}."
            )


DEFAULT_SCORING = ScoringOptions()
