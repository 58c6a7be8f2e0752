"""What training minimises. No torch here: a launcher's `--help` reads this file."""

import math
from dataclasses import dataclass, fields
from typing import Literal

ObjectiveKind = Literal["dice_bce", "focal_dice_iou"]


@dataclass(kw_only=True)
class ObjectiveConfig:
    """Loss of one object; the training step averages over the objects of an image."""

    kind: ObjectiveKind = "dice_bce"
    """`dice_bce` as SAMUS was published, or `focal_dice_iou` as SAM, which also trains the head
    that predicts a mask's IoU."""

    dice_weight: float = 0.8
    """`dice_bce`: weight of 1 - Dice, with squares in its denominator."""

    bce_weight: float = 0.2
    """`dice_bce`: weight of the cross-entropy, averaged over the object's pixels."""

    positive_weight: float = 2.0
    """`dice_bce`: how much more a foreground pixel counts than a background pixel in the
    cross-entropy."""

    focal_weight: float = 20.0
    """`focal_dice_iou`: weight of the focal loss, averaged over the object's pixels."""

    focal_dice_weight: float = 1.0
    """`focal_dice_iou`: weight of 1 - Dice, without squares."""

    iou_weight: float = 1.0
    """`focal_dice_iou`: weight of the squared error of the predicted IoU; 0 for models without."""

    focal_alpha: float = 0.25
    """`focal_dice_iou`: weight of the foreground in the focal loss, in [0, 1]; the background
    weighs the rest."""

    focal_gamma: float = 2.0
    """`focal_dice_iou`: power of the focal loss; 0, or 1 and more."""

    presence_weight: float = 1.0
    """Both kinds, for models that say whether a category is in the image at all: weight of the
    cross-entropy of that. It counts for every category that the image's source annotates; the loss
    of the masks then counts for those that are there."""

    dice_smoothing_pixels: float = 1e-5
    """Both kinds: added to numerator and denominator of Dice, in pixels of the logits' grid. SAMUS
    has 1e-5; SAM has 1, which softens the loss of the smallest objects."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a loss."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"objective.{field.name} must be 0 or more, got {value}.")
        used = self._weights_in_use()
        if not any(getattr(self, name) > 0 for name in used):
            raise ValueError(
                f"objective.kind={self.kind} has no term left: one of "
                f"{', '.join(f'objective.{name}' for name in used)} must be above 0."
            )
        if self.presence_weight == 0:
            raise ValueError(
                "objective.presence_weight must be above 0, got 0: the head that decides whether a "
                "category is there would never learn to. Models without one do not use it."
            )
        if self.dice_smoothing_pixels == 0:
            raise ValueError(
                "objective.dice_smoothing_pixels must be above 0, got 0: an object that is empty "
                "on the logits' grid would divide by zero."
            )
        if self.focal_alpha > 1:
            raise ValueError(f"objective.focal_alpha must be in [0, 1], got {self.focal_alpha}.")
        if 0 < self.focal_gamma < 1:
            raise ValueError(
                f"objective.focal_gamma must be 0, or 1 and more, got {self.focal_gamma}: between "
                "them the gradient of a pixel that is right is infinite."
            )

    @property
    def uses_predicted_iou(self) -> bool:
        """Whether the model's own guess of a mask's IoU is trained."""
        return self.kind == "focal_dice_iou" and self.iou_weight > 0

    def _weights_in_use(self) -> tuple[str, ...]:
        if self.kind == "dice_bce":
            return ("dice_weight", "bce_weight")
        return ("focal_weight", "focal_dice_weight", "iou_weight")
