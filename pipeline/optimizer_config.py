"""Options of the optimizer. No torch here."""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from .refusal import refuse_unless


@dataclass(kw_only=True)
class OptimizerConfig:
    """AdamW, its schedule, and what is done to gradients and weights around a step."""

    peak_learning_rate: float = 1e-4
    """Reached at the end of the warm-up, for the run's `data.global_batch_size`."""

    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    """After the warm-up: stay at the peak, fall along a half cosine until `run.max_steps`, or be
    multiplied by `optimizer.milestone_factor` at each of `optimizer.milestones`."""

    warmup_steps: int = 250
    """Steps of linear rise from 0; optimizer steps, not micro-batches. 0 starts at the peak."""

    final_fraction: float = 0.01
    """Where the cosine ends, as a fraction of the peak."""

    milestones: list[float] = field(default_factory=list)
    """`schedule=steps`: where the rate falls, as fractions of `run.max_steps`, ascending."""

    milestone_factor: float = 0.1
    """`schedule=steps`: what the rate is multiplied by at each milestone."""

    weight_decay: float = 0.01
    """Decoupled decay of matrices and kernels; biases, norms and other vectors have none. With 0,
    AdamW is Adam."""

    beta1: float = 0.9
    """Decay of the running mean of gradients."""

    beta2: float = 0.999
    """Decay of the running mean of squared gradients."""

    clip_gradient_norm: float | None = 1.0
    """Largest norm of all gradients together; null does not clip (the norm is logged anyway)."""

    ema_decay: float | None = None
    """Decay per step of an exponential moving average of the weights, such as 0.999; null keeps
    none. Where it is kept, validation and evaluation use the average."""

    def __post_init__(self) -> None:
        rate = self.peak_learning_rate
        refuse_unless(
            rate > 0 and math.isfinite(rate), "optimizer.peak_learning_rate", rate, "positive"
        )
        refuse_unless(
            self.warmup_steps >= 0, "optimizer.warmup_steps", self.warmup_steps, "0 or more"
        )
        refuse_unless(
            self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "0 or more"
        )
        for name in ("beta1", "beta2", "ema_decay"):
            value = getattr(self, name)
            is_decay = value is None or 0 <= value < 1
            refuse_unless(is_decay, f"optimizer.{name}", value, "in [0, 1)")
        refuse_unless(
            0 <= self.final_fraction <= 1,
            "optimizer.final_fraction",
            self.final_fraction,
            "in [0, 1]",
        )
        self._check_milestones()
        clip = self.clip_gradient_norm
        refuse_unless(
            clip is None or clip > 0, "optimizer.clip_gradient_norm", clip, "positive, or null"
        )

    def _check_milestones(self) -> None:
        given = self.milestones
        is_ascending = all(earlier < later for earlier, later in pairwise([0.0, *given, 1.0]))
        refuse_unless(is_ascending, "optimizer.milestones", given, "ascending, between 0 and 1")
        refuse_unless(
            0 < self.milestone_factor < 1,
            "optimizer.milestone_factor",
            self.milestone_factor,
            "between 0 and 1",
        )
        if bool(given) != (self.schedule == "steps"):
            raise ValueError(
                f"optimizer.schedule={self.schedule} with optimizer.milestones={given}: the "
                "schedule steps needs milestones, and no other takes them."
            )
