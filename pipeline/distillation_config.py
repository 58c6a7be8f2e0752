"""Options of learning from a teacher. No torch here."""

from dataclasses import dataclass

from .refusal import refuse_unless


@dataclass(kw_only=True)
class DistillationConfig:
    """Another model that the trained one shall see and answer like, beside its references."""

    teacher: str | None = None
    """Run or checkpoint folder of the teacher; null for none. It must take images of the same
    framing, and either answer the same prompts or, with `mask_weight=0`, give features alone."""

    feature_weight: float = 1.0
    """Weight of the mean squared distance of the image embeddings; 0 leaves them alone."""

    mask_weight: float = 1.0
    """Weight of the cross-entropy of each mask with the teacher's answer to the same prompt."""

    def __post_init__(self) -> None:
        for name in ("feature_weight", "mask_weight"):
            value = getattr(self, name)
            refuse_unless(value >= 0, f"distillation.{name}", value, "0 or more")
        if self.teacher is not None and not self.feature_weight + self.mask_weight:
            raise ValueError(
                "distillation.teacher is given, but feature_weight and mask_weight are 0, so that "
                "nothing is learnt from it: raise one of them, or leave the teacher out."
            )
