"""Options of a comparison of models. No torch here."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from evaluation import BootstrapOptions

from .refusal import refuse_unless


@dataclass(kw_only=True)
class ComparisonConfig:
    """Several models, trained alike on the same shards and measured on the same held-out ones."""

    folder: str = MISSING
    """Where runs, reports and the table go. The same command goes on there."""

    models: list[str] = MISSING
    """Names of model presets, such as samus_small or unet_small. More can be added later."""

    train: Any = MISSING
    """Training corpora, as `data.train` of the pretraining."""

    test: str = MISSING
    """Held-out corpus that every model is measured on."""

    validation: str | None = None
    """Held-out corpus that chooses each model's best checkpoint; null takes its last one."""

    max_steps: int | None = None
    """Optimizer steps of each model."""

    max_minutes: float | None = None
    """Instead of steps: training time of each model, without validation. A few steps are timed
    first; as many as fit then become the model's `run.max_steps`, so that schedules end in time."""

    training: str | None = None
    """Preset or file of the pretraining whose values hold for every model; null takes defaults."""

    options: list[str] = field(default_factory=list)
    """Further options of the pretraining that hold for every model, such as
    `'options=[optimizer.peak_learning_rate=1e-3, num_error_clicks=0]'`."""

    protocol: str = "published_click"
    """How prompted models are asked on the held-out corpus."""

    reference: str | None = None
    """Model that the differences of the table are taken against; null takes the first one."""

    intervals: BootstrapOptions = field(default_factory=BootstrapOptions)

    def __post_init__(self) -> None:
        if self.models != MISSING:  # the schema itself is built before any value is known
            self._check_models()
        refuse_unless(
            self.max_steps is None or self.max_steps >= 1, "max_steps", self.max_steps, "at least 1"
        )
        refuse_unless(
            self.max_minutes is None or self.max_minutes > 0,
            "max_minutes",
            self.max_minutes,
            "positive",
        )
        if self.models != MISSING and (self.max_steps is None) == (self.max_minutes is None):
            raise ValueError(
                f"The budget is max_steps={self.max_steps} and max_minutes={self.max_minutes}: "
                "give one of them."
            )

    def _check_models(self) -> None:
        is_list = bool(self.models) and len(set(self.models)) == len(self.models)
        refuse_unless(is_list, "models", self.models, "a list of different names")
        is_one = self.reference is None or self.reference in self.models
        refuse_unless(is_one, "reference", self.reference, f"one of {', '.join(self.models)}")

    @property
    def reference_model(self) -> str:
        """The model that differences are taken against."""
        return self.reference or self.models[0]
