"""What a prompted model refuses to be asked.

Shapes and kinds are always looked at. Values are only where they lie on the CPU: on a GPU every
look would wait for it, in every step.

Axis names used in this file:
    prompt   questions about images, in any order
    point    one slot for a click or a box corner
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from .prompts import ABSENT, BOX_END, BOX_START, POSITIVE, Prompts

_MARGIN = 0.01
"""How far beyond the outermost pixel centres a coordinate may lie, as a fraction of the image's
side, and at least a pixel: the image ends half a pixel beyond them, a box that ends at the edge of
a small picture is enlarged with it, and some count edges."""


@dataclass(frozen=True, kw_only=True)
class PromptLimits:
    """What a model can be asked about the images at hand."""

    model: str
    """What the model is called in messages."""

    kinds: frozenset[str]
    """Which of points, boxes and masks it takes."""

    num_categories: int
    num_images: int
    input_size: int
    """Side of the framed image, in pixels."""

    mask_size: int
    """Side of an earlier answer, in cells."""

    looks_at_kinds_of_points: bool = True
    """Tell clicks from box corners by their labels. Training does not: its stand-in for a box
    around nothing is a click on the background."""


def refuse_unfit_prompts(prompts: Prompts | None, *, limits: PromptLimits) -> Prompts:
    """Return the prompts, or say what is wrong with them."""
    kinds = _listed(limits.kinds, last="or")
    if prompts is None:
        raise ValueError(f"{limits.model} answers prompts, and got none: give {kinds}.")
    if prompts.points is None and prompts.boxes is None and prompts.mask_logits is None:
        raise ValueError(f"{limits.model} got prompts that ask nothing: give {kinds}.")
    _refuse_kinds(prompts, limits=limits)
    _refuse_masks(prompts, limits=limits)
    if prompts.category is not None and not limits.num_categories:
        raise ValueError(f"{limits.model} knows no categories: leave Prompts.category out.")
    if prompts.image_index.device.type == "cpu":
        _refuse_values(prompts, limits=limits)
    return prompts


def _refuse_kinds(prompts: Prompts, *, limits: PromptLimits) -> None:
    labels = prompts.point_labels
    has_clicks = labels is not None and "boxes" not in limits.kinds
    has_boxes = prompts.boxes is not None
    if labels is not None and limits.looks_at_kinds_of_points and labels.device.type == "cpu":
        has_clicks = bool(((labels >= 0) & (labels <= POSITIVE)).any())
        has_boxes = has_boxes or bool((labels >= BOX_START).any())
    given = {"points": has_clicks, "boxes": has_boxes, "masks": prompts.mask_logits is not None}
    for kind, is_given in given.items():
        if is_given and kind not in limits.kinds:
            raise ValueError(
                f"{limits.model} takes {_listed(limits.kinds, last='and')} as prompts, and got "
                f"{kind}. Leave them out, or take a model with {kind} in its prompt_kinds."
            )


def _listed(kinds: frozenset[str], *, last: str) -> str:
    named = sorted(kinds, key=("points", "boxes", "masks").index)
    return f" {last} ".join(", ".join(part) for part in (named[:-1], named[-1:]) if part)


def _refuse_masks(prompts: Prompts, *, limits: PromptLimits) -> None:
    mask = prompts.mask_logits
    if mask is not None and tuple(mask.shape[2:]) != (limits.mask_size, limits.mask_size):
        raise ValueError(
            f"Prompts.mask_logits is {mask.shape[2]} x {mask.shape[3]}; {limits.model} takes its "
            f"own low-resolution logits, {limits.mask_size} x {limits.mask_size}."
        )


def _refuse_values(prompts: Prompts, *, limits: PromptLimits) -> None:
    _refuse_beyond("image_index", prompts.image_index, count=limits.num_images, of="images")
    if prompts.category is not None:
        _refuse_beyond("category", prompts.category, count=limits.num_categories, of="categories")
    points, labels, boxes = prompts.points, prompts.point_labels, prompts.boxes
    if points is not None and labels is not None:
        unknown = (labels < ABSENT) | (labels > BOX_END)
        if unknown.any():
            raise ValueError(
                f"Prompts.point_labels holds {int(labels[unknown][0])}; expected 1 inside, 0 "
                "outside, 2 and 3 the corners of a box, -1 an empty slot."
            )
        _refuse_outside("points", points[labels != ABSENT], limits=limits)
    if boxes is not None:
        corners = boxes.unflatten(1, (2, 2))
        _refuse_outside("boxes", corners.flatten(0, 1), limits=limits)
        is_empty: Bool[Tensor, " prompt"] = (corners[:, 0] >= corners[:, 1]).any(dim=1)
        if is_empty.any():
            raise ValueError(
                f"Prompts.boxes holds {boxes[is_empty][0].tolist()}; expected x0, y0, x1, y1 with "
                "x0 < x1 and y0 < y1."
            )


def _refuse_beyond(name: str, places: Int[Tensor, " prompt"], *, count: int, of: str) -> None:
    beyond = (places < 0) | (places >= count)
    if beyond.any():
        raise ValueError(
            f"Prompts.{name} holds {int(places[beyond][0])}, but there are {count} {of}: expected "
            f"0 to {count - 1}."
        )


def _refuse_outside(name: str, points: Float[Tensor, "point 2"], *, limits: PromptLimits) -> None:
    margin = max(1.0, _MARGIN * limits.input_size)
    lowest, highest = -margin, limits.input_size - 1 + margin
    # Written so that a coordinate that is not a number is outside as well.
    is_inside = (points >= lowest) & (points <= highest)
    if not is_inside.all():
        x, y = points[~is_inside.all(dim=1)][0].tolist()
        raise ValueError(
            f"Prompts.{name} holds ({x:g}, {y:g}), which is outside of the framed image of "
            f"{limits.input_size} x {limits.input_size} pixels: expected (x, y) from {lowest:g} "
            f"to {highest:g}. Coordinates of the original image go through segmenter.framing first."
        )
