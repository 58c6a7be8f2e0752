"""Clicks and boxes that stand for a user, drawn from reference masks.

Axis names used in this file:
    object   one reference mask
    slot     one place for a click or a box corner; unused ones are labelled absent
    row, column                  of the framed image, in pixels
    coarse_row, coarse_column    of the logits, which may be smaller than the framed image

Coordinates are (x, y) in framed pixels. The centre of the upper left pixel is (0, 0), and a box
runs along the outer edges of the pixels that it holds, half a pixel beyond their centres.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from .config import PromptSimulationConfig
from .prompts import ABSENT, BOX_END, BOX_START, NEGATIVE, POSITIVE

_SMALLEST_MARGIN_PIXELS = 8
"""A small object, too, gets clicks beside it that are not on its very edge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedPrompt:
    """The first prompt for one object, with the same number of slots for every object."""

    points: Float[np.ndarray, "slot 2"]
    point_labels: Int[np.ndarray, " slot"]


@dataclass(frozen=True, kw_only=True)
class _Box:
    """Columns and rows of a region; `x1` and `y1` come after its last ones, as in a slice."""

    x0: int
    y0: int
    x1: int
    y1: int


def simulate_prompt(
    mask: Bool[np.ndarray, "row column"],
    generator: np.random.Generator,
    config: PromptSimulationConfig,
) -> SimulatedPrompt:
    """Draw a box, or clicks inside and beside the object.

    An empty mask has no inside: it gets one click on the background.

    Args:
        mask: The object on the framed image.
        generator: Gives every random number; the same state gives the same prompt.
        config: How many clicks and how often boxes.
    """
    points = np.zeros((config.num_slots, 2), dtype=np.float32)
    labels = np.full(config.num_slots, ABSENT, dtype=np.int64)
    box = _tight_box(mask)
    if box is None:
        first_negative = config.max_positive_points if config.max_negative_points else 0
        points[first_negative] = _random_pixels(~mask, 1, generator=generator)
        labels[first_negative] = NEGATIVE
    elif generator.random() < config.box_probability:
        points[-2:] = _jittered_corners(box, mask.shape, generator=generator, config=config)
        labels[-2:] = BOX_START, BOX_END
    else:
        _draw_clicks(mask, box, points, labels, generator=generator, config=config)
    return SimulatedPrompt(points=points, point_labels=labels)


@torch.no_grad()
def error_clicks(
    logits: Float[Tensor, "object coarse_row coarse_column"],
    targets: Bool[Tensor, "object row column"],
    draws: Float[Tensor, " object"],
) -> tuple[Float[Tensor, "object 1 2"], Int[Tensor, "object 1"]]:
    """Return one click per object in what the prediction got wrong, and its label.

    A missed pixel gives a click inside (1), a wrongly marked one a click outside (0). Without any
    error the click lands anywhere on the object; an empty target gets one on the background.

    Args:
        logits: The prediction, resized here to the grid of `targets` if it is coarser.
        targets: What should have been predicted, on the framed image.
        draws: A number in [0, 1) per object that picks the pixel: the same number picks the same
            pixel on every device.
    """
    rows, columns = targets.shape[1:]
    if logits.shape[1:] != targets.shape[1:]:
        logits = functional.interpolate(
            logits[:, None].float(), size=(rows, columns), mode="bilinear", align_corners=False
        )[:, 0]
    wanted = targets.flatten(1)
    wrong = (logits > 0).flatten(1) ^ wanted
    region = torch.where(wrong.any(1, keepdim=True), wrong, wanted)
    region = torch.where(region.any(1, keepdim=True), region, ~region)

    # Integer sums are exact and in order on every device, so the choice is as well.
    places = region.cumsum(1, dtype=torch.int32)
    counts = places[:, -1]
    picked = (draws * counts).to(torch.int32).clamp(max=counts - 1)
    chosen = (places <= picked[:, None]).sum(1).clamp(max=rows * columns - 1)
    points = torch.stack([chosen % columns, chosen // columns], dim=1).float()
    labels = wanted.gather(1, chosen[:, None]).long()
    return points[:, None], labels


def _draw_clicks(
    mask: np.ndarray,
    box: _Box,
    points: np.ndarray,
    labels: np.ndarray,
    *,
    generator: np.random.Generator,
    config: PromptSimulationConfig,
) -> None:
    """Fill the slots of clicks in place."""
    num_positive = int(generator.integers(1, config.max_positive_points + 1))
    inside = mask[box.y0 : box.y1, box.x0 : box.x1]
    points[:num_positive] = _random_pixels(inside, num_positive, generator=generator)
    points[:num_positive] += (box.x0, box.y0)
    labels[:num_positive] = POSITIVE

    num_negative = int(generator.integers(0, config.max_negative_points + 1))
    around = _widened(box, mask.shape, fraction=config.negative_margin_fraction)
    outside = ~mask[around.y0 : around.y1, around.x0 : around.x1]
    if num_negative == 0 or not outside.any():
        return
    negatives = slice(config.max_positive_points, config.max_positive_points + num_negative)
    points[negatives] = _random_pixels(outside, num_negative, generator=generator)
    points[negatives] += (around.x0, around.y0)
    labels[negatives] = NEGATIVE


def _tight_box(mask: np.ndarray) -> _Box | None:
    """Return the smallest box around the foreground, or None for an empty mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return _Box(x0=int(columns[0]), y0=int(rows[0]), x1=int(columns[-1]) + 1, y1=int(rows[-1]) + 1)


def _widened(box: _Box, shape: tuple[int, ...], *, fraction: float) -> _Box:
    """Return the box with a margin on all sides, cut at the edges of the image."""
    rows, columns = shape
    margin_x = max(round(fraction * (box.x1 - box.x0)), _SMALLEST_MARGIN_PIXELS)
    margin_y = max(round(fraction * (box.y1 - box.y0)), _SMALLEST_MARGIN_PIXELS)
    return _Box(
        x0=max(box.x0 - margin_x, 0),
        y0=max(box.y0 - margin_y, 0),
        x1=min(box.x1 + margin_x, columns),
        y1=min(box.y1 + margin_y, rows),
    )


def _random_pixels(
    region: np.ndarray, count: int, *, generator: np.random.Generator
) -> Float[np.ndarray, "point 2"]:
    """Return the centres (x, y) of pixels of a region, drawn with replacement."""
    candidates = np.flatnonzero(region)
    chosen = candidates[generator.integers(0, len(candidates), size=count)]
    rows, columns = np.divmod(chosen, region.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def _jittered_corners(
    box: _Box,
    shape: tuple[int, ...],
    *,
    generator: np.random.Generator,
    config: PromptSimulationConfig,
) -> Float[np.ndarray, "corner 2"]:
    """Return the upper left and lower right corner, shifted as the options say.

    The box stays in the image and keeps sides of at least one pixel.
    """
    rows, columns = shape
    limits = np.array([columns, rows])
    corners = np.array([[box.x0, box.y0], [box.x1, box.y1]], dtype=np.float64)
    reach = config.box_jitter_fraction * (corners[1] - corners[0])
    corners += generator.uniform(-1.0, 1.0, size=(2, 2)) * reach
    if config.box_shift_pixels:
        corners += generator.uniform(-1.0, 1.0, size=2) * config.box_shift_pixels
    if config.box_margin_pixels:
        outward = np.array([[-1.0], [1.0]]) * config.box_margin_pixels
        corners += generator.uniform(0.0, 1.0, size=(2, 2)) * outward
    first = np.clip(corners[0], 0, limits - 1)
    last = np.clip(np.maximum(corners[1], first + 1), 1, limits)
    return np.stack([first, last]).astype(np.float32) - np.float32(0.5)
