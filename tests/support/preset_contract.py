"""Every preset, built small or without memory, and what each can be asked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from model import (
    PRESETS,
    MaskPrediction,
    Prompts,
    SamArchitecture,
    Segmenter,
    build_segmenter,
)

TINY = sorted(name for name in PRESETS if name.endswith("_tiny"))
FULL_SIZE = sorted(name for name in PRESETS if not name.endswith("_tiny"))
AUTOMATIC = [name for name in TINY if hasattr(PRESETS[name], "categories")]
PROMPTED = [name for name in TINY if name not in AUTOMATIC]
SAM_AND_RELATIVES = [name for name in TINY if isinstance(PRESETS[name], SamArchitecture)]

CATEGORIES = ("first", "second")
"""Of automatic models; two, so that one is not taken for the other."""


def built(
    name: str,
    *,
    is_shallow: bool = False,
    input_size: int | None = None,
    categories: tuple[str, ...] = CATEGORIES,
) -> Segmenter:
    """Return a preset with the same random weights each time.

    A shallow one has two blocks instead of three: to trace one takes seconds.
    """
    torch.manual_seed(0)
    options: dict[str, Any] = {} if input_size is None else {"input_size": input_size}
    if hasattr(PRESETS[name], "categories"):
        options["categories"] = categories
    if is_shallow and getattr(PRESETS[name], "depth", 0) == 3:
        options |= {"depth": 2, "global_blocks": (1,)}
    return build_segmenter(name, **options)


def images_for(segmenter: Segmenter, *, num_images: int) -> Tensor:
    """Return framed noise, the same each time."""
    side = segmenter.architecture.input_size
    return torch.rand(num_images, 1, side, side, generator=torch.Generator().manual_seed(1))


def clicks(side: int) -> Prompts:
    """Return one or two clicks for each of three objects of two images."""
    return Prompts(
        image_index=torch.tensor([1, 0, 1]),
        points=torch.tensor(
            [[[5.0, 9.0], [0, 0]], [[20.0, 3.0], [30.0, 8.0]], [[side - 1.0, 4.0], [0, 0]]]
        ),
        point_labels=torch.tensor([[1, -1], [1, 0], [1, -1]]),
    )


def boxes(side: int) -> Prompts:
    """Return a box for each of three objects of two images."""
    return Prompts(
        image_index=torch.tensor([0, 1, 1]),
        boxes=torch.tensor([[2.0, 3, 20, 30], [0, 0, side - 1, side - 1], [9, 9, 12, 30]]),
    )


def mixed(side: int) -> Prompts:
    """Return a box, a click, and two clicks, all as points."""
    return Prompts(
        image_index=torch.tensor([0, 1, 0]),
        points=torch.tensor(
            [[[2.0, 3], [20, 30]], [[7.0, 7], [0, 0]], [[9.0, 9], [0, side - 1.0]]]
        ),
        point_labels=torch.tensor([[2, 3], [1, -1], [1, 0]]),
    )


def nothing(side: int) -> Prompts:
    """Return the prompts of images without an object."""
    del side
    return Prompts(
        image_index=torch.zeros(0, dtype=torch.long),
        points=torch.zeros(0, 2, 2),
        point_labels=torch.zeros(0, 2, dtype=torch.long),
    )


BATCHES: dict[str, tuple[frozenset[str], Callable[[int], Prompts]]] = {
    "mixed": (frozenset({"points", "boxes"}), mixed),
    "clicks": (frozenset({"points"}), clicks),
    "boxes": (frozenset({"boxes"}), boxes),
    "no object": (frozenset(), nothing),
}
"""Kinds of batches: which prompts each needs, and how it is made."""


def batches_for(name: str) -> list[str]:
    """Return the kinds of batches that a prompted preset can be asked with, richest first."""
    taken = frozenset(getattr(PRESETS[name], "prompt_kinds", ()))
    return [kind for kind, (needed, _) in BATCHES.items() if needed <= taken]


def prompts_for(segmenter: Segmenter, *, kind: str) -> Prompts | None:
    """Return the prompts of a batch; None for a model that takes none."""
    if segmenter.is_automatic:
        return None
    return BATCHES[kind][1](segmenter.architecture.input_size)


def usual_prompts(name: str, segmenter: Segmenter) -> Prompts | None:
    """Return the richest batch that the preset can be asked with."""
    return None if segmenter.is_automatic else prompts_for(segmenter, kind=batches_for(name)[0])


def only_row(prompts: Prompts, row: int) -> Prompts:
    """Return one prompt without its empty slots, about the only image."""
    points, labels = None, None
    if prompts.points is not None and prompts.point_labels is not None:
        present = prompts.point_labels[row] != -1
        points = prompts.points[row][present][None]
        labels = prompts.point_labels[row][present][None]
    return replace(
        prompts,
        image_index=torch.tensor([0]),
        points=points,
        point_labels=labels,
        boxes=None if prompts.boxes is None else prompts.boxes[row][None],
    )


def everything_in(answer: MaskPrediction) -> Tensor:
    """Return one number that every output of an answer enters."""
    outputs = (answer.low_resolution_logits, answer.predicted_iou, answer.presence_logits)
    return torch.stack([one.square().sum() for one in outputs if one is not None]).sum()
