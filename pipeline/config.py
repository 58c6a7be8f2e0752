"""Options of a pretraining run. This file, as every `config.py`, never imports torch."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import MISSING

from model import ObjectiveConfig, PromptSimulationConfig
from shards import ReadingConfig

from .augmentation.config import AugmentationConfig
from .distillation_config import DistillationConfig
from .optimizer_config import OptimizerConfig
from .refusal import refuse_unless


@dataclass(frozen=True, kw_only=True)
class TrainSource:
    """One corpus to train on."""

    url: str
    """Folder with `manifest.json`: a path or any fsspec URL (`s3://bucket/us30k/train`)."""

    weight: float = 1.0
    """How often each of its samples comes in an epoch: 2 is twice, 0.5 every second epoch."""


@dataclass(kw_only=True)
class RunConfig:
    """Where the run lies, how long it is, and what makes it repeatable."""

    name: str = MISSING
    """Name of the run. Its folder is `run.root/run.name`; the same command finds its run again."""

    root: str = "runs"
    """Folder that holds the run folders, and the default MLflow database."""

    fresh: bool = False
    """Start anew: an earlier run of that name is moved aside to `NAME.previous-1`, never deleted.
    Leave it out of a command that a scheduler repeats: it would begin anew each time."""

    max_steps: int = 10_000
    """Optimizer steps of the whole run; the cosine schedule ends there."""

    max_minutes: float | None = None
    """Time budget of the whole run, interruptions not counted; null for none. At its end the run
    validates, saves and counts as finished. The number of steps then depends on the machine, so
    two runs with a budget are not the same run twice; prefer `run.max_steps` where that matters."""

    seed: int = 0
    """Seed of first weights, sample order, augmentation and prompts."""

    threads: int | None = None
    """torch threads per process; null shares the processor cores of the machine equally between its
    processes (a launcher's OMP_NUM_THREADS would leave most of them idle). Results are bit for bit
    the same only for the same number."""

    num_processes: int | None = None
    """Processes the run must find, else it stops; null takes any number. Launchers have been seen
    to start one process where two were asked for."""

    engine: Literal["any", "ddp", "zero1", "zero2", "zero3"] = "any"
    """Engine the run must find, else it stops; the launcher's file chooses it. One process alone
    counts as ddp. any takes what comes."""

    device: Literal["any", "cpu", "cuda"] = "any"
    """Device that every process must find, else the run stops: a driver that is not there makes a
    GPU node train on its processor. any takes a GPU where there is one."""

    collective_timeout_seconds: float = 600.0
    """Longest wait of a process for the others, as when one of them hangs: then all end, and the
    log names the one that is behind. Must be above the longest thing that one does alone, such as
    writing a checkpoint to a slow disk."""

    log_every_steps: int = 10
    """Distance of two rows in `metrics.jsonl`, in steps. A row holds the values of its own step."""

    def __post_init__(self) -> None:
        refuse_unless(self.max_steps >= 1, "run.max_steps", self.max_steps, "at least 1")
        refuse_unless(
            self.max_minutes is None or self.max_minutes > 0,
            "run.max_minutes",
            self.max_minutes,
            "positive, or null",
        )
        refuse_unless(
            self.collective_timeout_seconds > 0,
            "run.collective_timeout_seconds",
            self.collective_timeout_seconds,
            "positive",
        )
        is_seed = 0 <= self.seed < 2**63
        refuse_unless(is_seed, "run.seed", self.seed, "0 or more and below 2**63")
        refuse_unless(
            self.log_every_steps >= 1, "run.log_every_steps", self.log_every_steps, "at least 1"
        )
        is_one_name = self.name not in {"", ".", ".."} and not set("/\\") & set(self.name)
        refuse_unless(is_one_name, "run.name", self.name, "a name without slashes")


@dataclass(kw_only=True)
class DataConfig(ReadingConfig):
    """What is trained on, and how it is read."""

    train: Any = MISSING
    """Training corpora: one URL, or a list of `{url: URL, weight: NUMBER}`. On the command line:
    `data.train=out/train` or `'data.train=[{url: a/train, weight: 2}, {url: b/train}]'`."""

    validation: str | None = None
    """Held-out corpus that is scored during training; null trains without validation."""

    global_batch_size: int = 8
    """Images per optimizer step, over all ranks: ranks x accumulation x micro-batch. Part of
    the sample order, so it cannot change on resume."""

    micro_batch_size: int = 4
    """Images that one rank holds at once. Accumulation follows from it; it may change on resume."""

    licences: list[str] | None = None
    """Licences to train under; sources under other terms are left out. null takes all. Held-out
    images teach nothing, so `data.validation` is scored whole."""

    shards_per_block: int = 16
    """Shards that are shuffled together, and so held open together, by each worker."""

    mixing_temperature: float | None = None
    """Evens out how much is seen of each published dataset: one of n images gets a share of
    n ** (1 / T), by repeating all but the largest. 1 leaves them as large as they are, 2 takes the
    square root, a large number gives all the same. Multiplies the weights of `data.train`; null
    takes these alone. Part of the sample order, so it cannot change on resume."""

    max_per_sequence: int | None = None
    """Frames of one video or volume that an epoch takes at most (a dataset that comes W times, W
    times as many), each time others; null takes all. Cannot change on resume."""

    num_workers: int = 2
    """Loader processes per rank; 0 reads in the training process. Any number gives the same
    samples in the same order."""

    max_objects_per_image: int = 4
    """Objects asked about per image and step; of more, a seeded choice is taken."""

    max_broken_samples: int = 0
    """Samples damaged in their shards that a run bears with, counted over all ranks since it was
    started or went on: the next sample of the shard stands in. One more stops the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        broken = self.max_broken_samples
        refuse_unless(broken >= 0, "data.max_broken_samples", broken, "0 or more")
        if self.train != MISSING:  # the schema itself is built before any value is known
            self.train = _normalise_sources(self.train)
        refuse_unless(self.num_workers >= 0, "data.num_workers", self.num_workers, "0 or more")
        temperature, per_sequence = self.mixing_temperature, self.max_per_sequence
        refuse_unless(
            temperature is None or 1 <= temperature < math.inf,
            "data.mixing_temperature",
            temperature,
            "a number of at least 1, or null",
        )
        refuse_unless(
            per_sequence is None or per_sequence >= 1,
            "data.max_per_sequence",
            per_sequence,
            "at least 1, or null",
        )
        sizes = ("global_batch_size", "micro_batch_size", "shards_per_block")
        for name in (*sizes, "max_objects_per_image"):
            value = getattr(self, name)
            refuse_unless(value >= 1, f"data.{name}", value, "at least 1")
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"data.global_batch_size={self.global_batch_size} is not a multiple of "
                f"data.micro_batch_size={self.micro_batch_size}: choose two that divide."
            )

    @property
    def sources(self) -> list[TrainSource]:
        """The training corpora, however they were written."""
        return self.train


@dataclass(kw_only=True)
class ModelConfig:
    """Which segmenter is trained, and from what."""

    preset: str = MISSING
    """Name of an architecture, such as samus_tiny, samus_vit_b or unet_small."""

    overrides: dict[str, Any] = field(default_factory=dict)
    """Fields of the preset's architecture to change, such as `model.overrides.input_size=128`."""

    base: str | None = None
    """Pretrained SAM (or SAMUS) file. Its published parts are frozen, only the adapters and
    branches train, and a checkpoint names the file by its sha256 instead of copying it. AutoSAMUS
    takes a run or checkpoint of SAMUS as well, which is copied whole into the run folder. null
    trains every parameter."""

    categories: list[str] = field(default_factory=list)
    """What an automatic segmenter (AutoSAMUS, U-Net) answers, in this order; empty takes every
    category that the training corpora annotate, sorted. Prompted segmenters have none."""


@dataclass(kw_only=True)
class CheckpointConfig:
    """When the run is saved, and how much of it stays."""

    every_steps: int = 500
    """Distance of two checkpoints in steps. The end, a signal and a best score save as well."""

    every_minutes: float | None = None
    """Save also when this much time has passed since the last one; null goes by steps alone."""

    keep: int = 2
    """Newest checkpoints that stay, at least 2; the best one stays besides."""

    def __post_init__(self) -> None:
        refuse_unless(
            self.every_steps >= 1, "checkpoint.every_steps", self.every_steps, "at least 1"
        )
        refuse_unless(
            self.every_minutes is None or self.every_minutes > 0,
            "checkpoint.every_minutes",
            self.every_minutes,
            "positive, or null",
        )
        refuse_unless(self.keep >= 2, "checkpoint.keep", self.keep, "at least 2")


@dataclass(kw_only=True)
class ValidationConfig:
    """How held-out shards are scored during training."""

    every_steps: int | None = 500
    """Distance of two validations in steps; null validates at the end alone."""

    score: Literal["dice", "iou"] = "dice"
    """Mean over objects that decides which checkpoint is the best; more is better."""

    protocol: str = "published_click"
    """How a prompted segmenter is asked: name of an evaluation protocol."""

    batch_size: int = 4
    """Images predicted at once."""

    num_pictures: int = 4
    """Held-out images drawn with prediction and reference at each validation; 0 draws none."""

    def __post_init__(self) -> None:
        refuse_unless(
            self.every_steps is None or self.every_steps >= 1,
            "validation.every_steps",
            self.every_steps,
            "at least 1, or null",
        )
        refuse_unless(self.batch_size >= 1, "validation.batch_size", self.batch_size, "at least 1")
        refuse_unless(
            self.num_pictures >= 0, "validation.num_pictures", self.num_pictures, "0 or more"
        )


@dataclass(kw_only=True)
class TrackingConfig:
    """MLflow. `metrics.jsonl` in the run folder is written in any case, and is the truth."""

    enabled: bool = True
    """Whether the run is kept in MLflow as well."""

    uri: str | None = None
    """Tracking server or database; null is `sqlite:///RUN.ROOT/mlflow.db`."""

    experiment: str = "pretraining"
    """MLflow experiment that holds the run."""

    parent_run_id: str | None = None
    """MLflow run that this one goes on from, under which MLflow then shows it; null for none."""

    def address(self, root: Path) -> str:
        """Return the tracking server or database of the runs in the folder `root`."""
        return self.uri or f"sqlite:///{root.resolve() / 'mlflow.db'}"


@dataclass(kw_only=True)
class PretrainConfig:
    """A pretraining run: what is trained, on what, how, for how long, and where it is kept."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass; weights, optimizer and losses stay float32."""

    activation_checkpointing: bool = False
    """Compute the encoder's blocks again in the backward pass instead of keeping them: less
    memory, about a third more time, the same numbers."""

    num_error_clicks: int = 1
    """Further passes of a prompted segmenter, each with a click in what it got wrong and its own
    previous mask. The published SAMUS trains with 0."""

    error_clicks_per_pass: list[int] = field(default_factory=lambda: [1])
    """Clicks that such a pass adds; of several numbers, each object draws one anew."""

    num_mask_refinements: int = 0
    """Passes after those, with no further click and the own previous mask, which gradients flow
    through. UltraSam trains with 1."""

    candidates_in_last_pass: bool = False
    """Answer the last pass with several candidates, of which the best is trained, and the passes
    before it with one mask, as UltraSam."""

    initialize_from: str | None = None
    """Weights to start from, with a fresh optimizer: a run folder, a checkpoint folder, a published
    file, or `models:/NAME@ALIAS`. A run that has a checkpoint of its own resumes from that."""

    run: RunConfig = field(default_factory=RunConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    prompts: PromptSimulationConfig = field(default_factory=PromptSimulationConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        refuse_unless(
            self.num_error_clicks >= 0, "num_error_clicks", self.num_error_clicks, "0 or more"
        )
        refuse_unless(
            self.num_mask_refinements >= 0,
            "num_mask_refinements",
            self.num_mask_refinements,
            "0 or more",
        )
        clicks = self.error_clicks_per_pass
        is_number_of_clicks = bool(clicks) and all(number >= 1 for number in clicks)
        refuse_unless(is_number_of_clicks, "error_clicks_per_pass", clicks, "one or more, all >= 1")
        if self.candidates_in_last_pass and not self.num_error_clicks + self.num_mask_refinements:
            raise ValueError(
                "candidates_in_last_pass=true needs a second pass, or the single mask that the "
                "model is later asked for would never be trained. Set num_mask_refinements=1."
            )
        if self.optimizer.schedule == "cosine" and (
            self.optimizer.warmup_steps >= self.run.max_steps
        ):
            raise ValueError(
                f"optimizer.warmup_steps={self.optimizer.warmup_steps} leaves nothing of "
                f"run.max_steps={self.run.max_steps} for the cosine: shorten the warm-up, or set "
                "optimizer.schedule=constant."
            )


def _normalise_sources(train: Any) -> list[TrainSource]:  # noqa: ANN401 -- as the user wrote it
    entries = [train] if isinstance(train, str | dict | TrainSource) else train
    if not isinstance(entries, list) or not entries:
        raise ValueError(
            f"data.train is {train!r}: expected a URL, or a list of {{url: URL, weight: NUMBER}}."
        )
    return [_normalise_source(entry) for entry in entries]


def _normalise_source(entry: Any) -> TrainSource:  # noqa: ANN401 -- as the user wrote it
    if isinstance(entry, str):
        entry = TrainSource(url=entry)
    elif isinstance(entry, dict):
        known = {one.name for one in dataclasses.fields(TrainSource)}
        if "url" not in entry or set(entry) - known:
            raise ValueError(f"data.train holds {entry}: expected the keys url and weight.")
        weight = entry.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"data.train gives {entry['url']} weight {weight}: expected a number.")
        entry = TrainSource(url=str(entry["url"]), weight=float(weight))
    if not isinstance(entry, TrainSource) or not entry.url:
        raise ValueError(f"data.train holds {entry!r}: expected a URL or {{url: URL, weight: 1}}.")
    if not (entry.weight > 0 and math.isfinite(entry.weight)):
        raise ValueError(f"data.train gives {entry.url} weight {entry.weight}: must be positive.")
    return entry
