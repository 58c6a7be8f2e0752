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

    method: IntervalMethod = "bca"
    """`bca`: corrected for bias and skew (Efron 1987), or plain `percentile`."""

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
    mass_centre (UltraSam's), random_point, noisy_point_5 (10, 20, 30, 50), k_clicks, box,
    box_jitter_5 (10, 20), detector_box; `robustness` for all of these. Empty: published_click;
    `automatic` for a model that takes no prompts."""

    detector: str | None = None
    """Automatic model whose masks give the boxes of detector_box: run, checkpoint or deployable."""

    detector_base: str | None = None
    """File of frozen base weights of the detector, where it has moved."""

    label_maps: bool = False
    """Also merge the answers about each image into one label map (the highest logit wins) and score
    it by category, as protocol PROTOCOL_label_map."""

    published: str | None = None
    """Published figures to put beside ours: samus_task_specific, samus_us30k, samus_generalisation,
    autosamus_fine_tuned or ultrasam. The presets of these names set it."""

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
    """Arithmetic of the model; the scores are computed in double precision either way. A
    deployable has its own (`form`), and knows no `device`."""

    form: str | None = None
    """Form of a deployable: float32, int8 or float16 (on a GPU); null takes its first."""

    batch_size: int = 8
    """Images encoded at once, and dealt to the ranks together."""

    threads: int | None = None
    """Threads of torch, or of a deployable, in each process; null leaves it to them. With another
    number the last bits of sums differ, and a pixel at the threshold may flip."""

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


@dataclasses.dataclass(kw_only=True)
class CompareConfig:
    """Put runs that were evaluated side by side; nothing is trained or predicted."""

    runs: Any = MISSING
    """Runs or report folders: `runs=[runs/a,reports/b]`, or names for them, where several folders
    are trainings of one recipe with other seeds: `'runs={samus: [runs/s0, runs/s1], unet: runs/u}'`
    """

    output: str = MISSING
    """Folder of the comparison."""

    reference: str | None = None
    """Model that the differences of the tables are taken against; null takes the first one."""

    protocols: list[str] = dataclasses.field(default_factory=list)
    """Compare under these only; empty takes all that the rows hold."""

    intervals: BootstrapOptions = dataclasses.field(default_factory=BootstrapOptions)

    def __post_init__(self) -> None:
        entries = self.runs.values() if isinstance(self.runs, dict) else [self.runs]
        folders = [one for some in entries for one in (some if isinstance(some, list) else [some])]
        if not folders or not all(isinstance(one, str) and one for one in folders):
            raise ValueError(
                f"runs is {self.runs!r}: expected folders, or names with a folder or several each."
            )
