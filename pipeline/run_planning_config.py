"""Options of the calculator behind `docs/planning.md`."""

from dataclasses import dataclass, field

from .refusal import refuse_unless


@dataclass(kw_only=True)
class RunPlanConfig:
    """What was measured of one GPU and one checkpoint, and what is assumed of the cluster."""

    gpus: list[int] = field(default_factory=lambda: [8, 64, 512, 4096])
    """Numbers of GPUs, each a row of the table."""

    images_per_second: float = 470.0
    """Of one GPU, as `speed/images_per_second` of a run divided by its ranks."""

    micro_batch_size: int = 32
    """Images that one GPU takes in a step; no accumulation."""

    image_bytes: int = 47_400
    """Mean size of a sample in the shards: bytes divided by samples, both in `manifest.json`."""

    checkpoint_bytes: int = 475_884_862
    """Size of one checkpoint folder. The default was measured of samus_vit_b on a frozen base:
    39,653,120 trained parameters with two moments each, in float32, and 47 kB of names."""

    save_seconds: float = 4.8
    """How long the run stands still for one checkpoint. The default was measured of the same
    checkpoint on a local disk."""

    restart_seconds: float = 300.0
    """From a failure to the first step of the run that goes on: noticed, queued, started, read."""

    gpu_days_between_failures: float = 2_112.0
    """Mean time between failures that end the run, times the GPUs it runs on. The default is that
    of 16,384 H100 in 54 days with 419 unexpected interruptions (The Llama 3 Herd of Models,
    arXiv 2407.21783, table 5)."""

    def __post_init__(self) -> None:
        refuse_unless(
            bool(self.gpus) and all(number >= 1 for number in self.gpus),
            "gpus",
            self.gpus,
            "a list of numbers, each at least 1",
        )
        for name in (
            "images_per_second",
            "micro_batch_size",
            "image_bytes",
            "checkpoint_bytes",
            "save_seconds",
            "gpu_days_between_failures",
        ):
            value = getattr(self, name)
            refuse_unless(value > 0, name, value, "positive")
        restart = self.restart_seconds
        refuse_unless(restart >= 0, "restart_seconds", restart, "0 or more")
