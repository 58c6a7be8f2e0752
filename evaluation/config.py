"""Options of the evaluation; no torch here, so that `--help` is quick."""

import dataclasses
from typing import Any, Literal

from omegaconf import MISSING

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


@dataclasses.dataclass(kw_only=True)
class EvaluateConfig:
    """Measure a model on held-out corpora and write a report."""

    checkpoint: str = MISSING
    """Run folder (its best checkpoint, else the latest), checkpoint folder or deployable folder."""

    data: Any = MISSING
    """URL of a held-out corpus such as OUT/test, or several: `data=[A/test,B/test]`."""

    protocols: list[str] = dataclasses.field(default_factory=list)
    """What the ground truth tells the model: published_click (SAMUS's own test), centre_point,
    random_point, box. Empty: published_click; `automatic` for a model that takes no prompts."""

    output: str | None = None
    """Folder of the report; null is the run's own `report/`."""

    model_name: str | None = None
    """Name in rows and tables; null takes the name of the run."""

    base: str | None = None
    """File of frozen base weights, where the checkpoint was trained on one and it has moved."""

    categories: list[str] = dataclasses.field(default_factory=list)
    """Ask about these only; empty asks about everything that the sources annotate."""

    max_images: int | None = None
    """Images to look at, spread evenly over each corpus, for a quick look; null takes all."""

    device: str = "auto"
    """`auto` takes a GPU where there is one; else `cpu`, `cuda`, `cuda:1` ..."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the model; the scores are computed in double precision either way."""

    batch_size: int = 8
    """Images encoded at once."""

    seed: int = 0
    """Of protocols that draw at random."""

    num_gallery_cases: int = 4
    """Pictures each of the best, the median and the worst cases in the report; 0 for none."""

    track: bool = True
    """Log the means into the MLflow run that trained the checkpoint, where it has one."""

    scoring: ScoringOptions = dataclasses.field(default_factory=ScoringOptions)

    intervals: BootstrapOptions = dataclasses.field(default_factory=BootstrapOptions)

    def __post_init__(self) -> None:
        if not self.urls or not all(isinstance(url, str) and url for url in self.urls):
            raise ValueError(
                f"data is {self.data!r}: expected the URL of a corpus, or a list of them."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}.")
        if self.num_gallery_cases < 0:
            raise ValueError(f"num_gallery_cases must be 0 or more, got {self.num_gallery_cases}.")
        if self.max_images is not None and self.max_images < 1:
            raise ValueError(f"max_images must be at least 1 or null, got {self.max_images}.")

    @property
    def urls(self) -> list[str]:
        """The corpora, as a list."""
        return list(self.data) if isinstance(self.data, (list, tuple)) else [self.data]
