"""Clicks and boxes as images, for convolutions.

Axis names used in this file:
    prompt           questions about images, in any order
    slot             one place for a click or a box corner
    map              clicks inside at two widths, clicks outside at two, the box
    row, column      of a grid whose cells share the framed image's side
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .prompts import ABSENT, BOX_END, BOX_START, NEGATIVE, POSITIVE, Prompts

_CLICK_RADII = (0.04, 0.16)
"""Standard deviations of a click's bumps, as fractions of the framed image's side."""

NUM_PROMPT_MAPS = 2 * len(_CLICK_RADII) + 1
"""Channels of `prompt_maps`."""


def prompt_maps(
    prompts: Prompts, *, grid_size: int, input_size: int
) -> Float[Tensor, "prompt map row column"]:
    """Draw bumps at the clicks inside and at those outside of the object, and the filled box.

    Args:
        prompts: In pixels of the framed image. What is absent leaves its map empty.
        grid_size: Cells along a side of the maps.
        input_size: Side of the framed image, in pixels.
    """
    points, labels = _with_corners(prompts)
    steps = torch.arange(grid_size, device=points.device, dtype=points.dtype)
    centres = (steps + 0.5) * (input_size / grid_size) - 0.5
    squares = ((points[..., None] - centres) / input_size).square()
    distances = squares[:, :, 0, None, :] + squares[:, :, 1, :, None]
    maps = [
        (torch.exp(distances / (-2.0 * radius**2)) * (labels == kind)[..., None, None]).amax(dim=1)
        for kind in (POSITIVE, NEGATIVE)
        for radius in _CLICK_RADII
    ]
    start = points.masked_fill((labels != BOX_START)[..., None], torch.inf).amin(dim=1)
    end = points.masked_fill((labels != BOX_END)[..., None], -torch.inf).amax(dim=1)
    is_within = (centres >= start[..., None]) & (centres <= end[..., None])
    maps.append((is_within[:, 0, None, :] & is_within[:, 1, :, None]).to(points.dtype))
    return torch.stack(maps, dim=1)


def _with_corners(
    prompts: Prompts,
) -> tuple[Float[Tensor, "prompt slot 2"], Int[Tensor, "prompt slot"]]:
    """Return clicks and box corners alike; corners that are not given are absent."""
    index, boxes = prompts.image_index, prompts.boxes
    if boxes is None:
        corners = torch.zeros(index.shape[0], 2, 2, device=index.device)
        labels = index.new_full((index.shape[0], 2), ABSENT)
    else:
        corners = boxes.unflatten(1, (2, 2))
        labels = index.new_tensor([BOX_START, BOX_END]).expand(index.shape[0], 2)
    if prompts.points is None or prompts.point_labels is None:
        return corners, labels
    return torch.cat([prompts.points, corners], 1), torch.cat([prompts.point_labels, labels], 1)
