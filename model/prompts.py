"""What goes into and comes out of a segmenter's decoder.

Axis names used in this file:
    image      one framed image of the batch
    prompt     one question about one image; several prompts may ask about the same image
    point      one slot for a click or a box corner
    candidate  one of several masks that answer the same prompt
    channel, row, column   of the embedding grid or the low-resolution mask
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
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

    has_mask: Bool[Tensor, " prompt"] | None = None
    """Which prompts have one; None is all. What `mask_logits` holds for the others is not read."""

    category: Int[Tensor, " prompt"] | None = None
    """Place in the model's list of categories, for models that are asked by category."""

    def __post_init__(self) -> None:
        if (self.points is None) != (self.point_labels is None):
            given = "points" if self.point_labels is None else "point_labels"
            raise ValueError(f"Prompts have {given} only; points and point_labels go together.")
        if self.has_mask is not None and self.mask_logits is None:
            raise ValueError("Prompts have has_mask only; it goes with mask_logits.")
        if not torch.compiler.is_compiling():  # the sizes of an exported graph are symbols
            self._refuse_shapes()

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

    def _refuse_shapes(self) -> None:
        """Refuse tensors that do not hold one row per prompt, or numbers of the wrong kind."""
        if self.image_index.ndim != 1:
            raise ValueError(
                f"Prompts.image_index has shape {tuple(self.image_index.shape)}; expected one "
                "number per prompt: the place of its image in the batch."
            )
        prompt, point = ("prompt", self.num_prompts), ("point", None)
        if self.points is not None and self.points.ndim == 3:
            point = ("point", self.points.shape[1])
        _refuse_shape("image_index", self.image_index, axes=(prompt,), holds_floats=False)
        _refuse_shape("points", self.points, axes=(prompt, point, ("x y", 2)))
        _refuse_shape("point_labels", self.point_labels, axes=(prompt, point), holds_floats=False)
        _refuse_shape("boxes", self.boxes, axes=(prompt, ("x0 y0 x1 y1", 4)))
        _refuse_shape(
            "mask_logits",
            self.mask_logits,
            axes=(prompt, ("channel", 1), ("row", None), ("column", None)),
        )
        _refuse_shape("has_mask", self.has_mask, axes=(prompt,), holds_floats=False)
        _refuse_shape("category", self.category, axes=(prompt,), holds_floats=False)


def _refuse_shape(
    name: str,
    value: Shaped[Tensor, "..."] | None,
    *,
    axes: Sequence[tuple[str, int | None]],
    holds_floats: bool = True,
) -> None:
    """Refuse a tensor whose axes have other sizes than these; None is any size."""
    if value is None:
        return
    fits = value.ndim == len(axes) and all(
        size in (None, found) for found, (_, size) in zip(value.shape, axes, strict=True)
    )
    if not fits:
        expected = " x ".join(
            f"{size or 'any'} ({axis})" if axis != "prompt" else f"{size} (prompts)"
            for axis, size in axes
        )
        raise ValueError(
            f"Prompts.{name} has shape {tuple(value.shape)}; expected {expected}, one row for "
            "each entry of image_index."
        )
    if value.is_floating_point() != holds_floats:
        kind = "real" if holds_floats else "whole"
        raise ValueError(f"Prompts.{name} holds {value.dtype}; expected {kind} numbers.")


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

    def best_candidate(self) -> "MaskPrediction":
        """Return the answers with the one candidate that the model itself rates highest.

        The graph reaches every candidate, those that are not chosen with zeros.
        """
        logits, rating = self.low_resolution_logits, self.predicted_iou
        if logits.shape[1] == 1 or rating is None:
            return replace(self, low_resolution_logits=logits[:, :1])
        best = rating.detach().argmax(dim=1, keepdim=True)
        places = best[:, :, None, None].expand(-1, -1, *logits.shape[2:])
        return replace(
            self,
            low_resolution_logits=logits.gather(1, places),
            predicted_iou=rating.gather(1, best),
        )
