"""What goes into and comes out of a segmenter's decoder.

Axis names used in this file:
    image      one framed image of the batch
    prompt     one question about one image; several prompts may ask about the same image
    point      one slot for a click or a box corner
    candidate  one of several masks that answer the same prompt
    channel, row, column   of the embedding grid or the low-resolution mask
"""

from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

ABSENT = -1
"""Point label of an empty slot."""

NEGATIVE, POSITIVE = 0, 1
"""Point labels of a click outside of and inside the object."""

BOX_START, BOX_END = 2, 3
"""Point labels of a box's upper left and lower right corner."""


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Questions about the images of a batch, flat and in any order.

    Coordinates are (x, y) in framed pixels; the centre of the upper left pixel is (0, 0).
    """

    image_index: Int[Tensor, " prompt"]
    """Which image of the batch a prompt asks about."""

    points: Float[Tensor, "prompt point 2"] | None = None
    point_labels: Int[Tensor, "prompt point"] | None = None
    """1 inside, 0 outside, 2 and 3 a box's corners, -1 an empty slot."""

    boxes: Float[Tensor, "prompt 4"] | None = None
    """x0, y0, x1, y1; the same as two points labelled 2 and 3."""

    mask_logits: Float[Tensor, "prompt 1 row column"] | None = None
    """An earlier answer to refine, four times as fine as the embedding grid."""

    category: Int[Tensor, " prompt"] | None = None
    """Place in the model's list of categories, for models that are asked by category."""

    def __post_init__(self) -> None:
        if (self.points is None) != (self.point_labels is None):
            given = "points" if self.point_labels is None else "point_labels"
            raise ValueError(f"Prompts have {given} only; points and point_labels go together.")

    @property
    def num_prompts(self) -> int:
        """How many masks are asked for."""
        return self.image_index.shape[0]

    def to(self, device: torch.device | str) -> "Prompts":
        """Return the same prompts on `device`."""
        tensors = {
            item.name: value.to(device, non_blocking=True)
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
        }
        return replace(self, **tensors)


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """What a segmenter knows about each image before it is asked anything."""

    embedding: Float[Tensor, "image channel row column"]
    side: dict[str, Tensor] = field(default_factory=dict)
    """Further tensors of the variant, each with the image axis first."""


@dataclass(frozen=True, kw_only=True)
class MaskPrediction:
    """The answers, one row per prompt (automatic models: image-major, one row per category)."""

    low_resolution_logits: Float[Tensor, "prompt candidate row column"]
    predicted_iou: Float[Tensor, "prompt candidate"] | None = None
    """The model's own guess of each mask's IoU."""

    category: Int[Tensor, " prompt"] | None = None
    presence_logits: Float[Tensor, " prompt"] | None = None
    """Whether the category is in the image at all."""
