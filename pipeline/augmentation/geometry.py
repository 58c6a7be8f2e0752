"""Framing, rotation, zoom and flip of an image and its masks, as one affine map.

Axis names used in this file:
    layer        one plane that is warped: a colour channel of the image, or a mask
    object       one mask of the image
    row, column  of the original image, or of the framed one

All matrices are 3 x 3 and map homogeneous (x, y, 1) in pixels. The upper left corner of an image is
(0, 0) and the centre of its first pixel (0.5, 0.5).
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from model import Framing

from .config import AugmentationConfig

Matrix: TypeAlias = Float[np.ndarray, "3 3"]

_LARGEST_STEP_PIXELS = 1.5
"""Up to this distance of sampling points, bilinear interpolation shows next to no aliasing."""


def draw_geometry(
    config: AugmentationConfig, generator: np.random.Generator, *, size: int
) -> Matrix | None:
    """Draw where each framed pixel moves to, or None if all of them stay.

    The number of draws does not depend on what is switched on, so that switching one change off
    leaves the others as they were.

    Args:
        config: Which changes, how often and how strong.
        generator: Gives every random number.
        size: Side of the framed image, in pixels.
    """
    chances = generator.random(3)
    angle, zoom, shift_x, shift_y = generator.uniform(-1.0, 1.0, size=4)
    moves = np.eye(3)
    if chances[0] < config.flip_probability:
        moves = np.diag([-1.0, 1.0, 1.0])
    if chances[1] < config.rotation_probability:
        moves = _rotation(np.deg2rad(angle * config.max_rotation_degrees)) @ moves
    if chances[2] < config.zoom_probability:
        factor = config.min_zoom + abs(zoom) * (config.max_zoom - config.min_zoom)
        free_pixels = 0.5 * size * abs(1.0 - 1.0 / factor)
        moves = _zoom(factor, shift_x * free_pixels, shift_y * free_pixels) @ moves
    if np.array_equal(moves, np.eye(3)):
        return None
    middle = 0.5 * size
    return _translation(middle, middle) @ moves @ _translation(-middle, -middle)


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameMap:
    """Where the pixels of one image come to lie in the frame, and the way back."""

    framing: Framing
    original_size: tuple[int, int]
    """Rows and columns."""

    has_moves: bool
    """Whether anything comes on top of framing."""

    framed_of_original: Matrix
    original_of_framed: Matrix

    @classmethod
    def compose(
        cls, framing: Framing, *, original_size: tuple[int, int], geometry: Matrix | None
    ) -> "FrameMap":
        """Frame, then move within the frame by `geometry`."""
        between_centres = np.eye(3)
        between_centres[:2] = framing.frame_matrix(original_size).numpy()
        matrix = _translation(0.5, 0.5) @ between_centres @ _translation(-0.5, -0.5)
        if geometry is not None:
            matrix = geometry @ matrix
        return cls(
            framing=framing,
            original_size=original_size,
            has_moves=geometry is not None,
            framed_of_original=matrix,
            original_of_framed=np.linalg.inv(matrix),
        )

    @property
    def acquisition(self) -> Matrix:
        """Map from framed pixels to (across, depth), each in [0, 1] on the original image.

        The probe is taken to lie along the original's upper edge, as is the custom.
        """
        rows, columns = self.original_size
        return np.diag([1.0 / columns, 1.0 / rows, 1.0]) @ self.original_of_framed

    def shows_original(self) -> Bool[Tensor, "framed_row framed_column"]:
        """Return which framed pixels have their centre on the original image."""
        centres = torch.arange(self.framing.input_size) + 0.5
        (across, skew_x, left), (skew_y, down, top) = self.original_of_framed[:2].tolist()
        x = across * centres + skew_x * centres[:, None] + left
        y = skew_y * centres + down * centres[:, None] + top
        rows, columns = self.original_size
        return (x >= 0) & (x <= columns) & (y >= 0) & (y <= rows)


def warp_image(
    channels: Float[Tensor, "channel row column"], frame_map: FrameMap
) -> Float[Tensor, "channel framed_row framed_column"]:
    """Move an image, in [0, 1], into the frame, interpolating once.

    Outside of the original image everything is 0. Without moves this is `Framing.frame`, with black
    for padding.
    """
    if not frame_map.has_moves:
        return dataclasses.replace(frame_map.framing, padding=None).frame(channels)
    size = frame_map.framing.input_size
    frame = _Region(left=0, top=0, right=size, bottom=size)
    return _sample(channels, frame_map.original_of_framed, region=frame)


def warp_masks(
    masks: Sequence[Bool[np.ndarray, "row column"]], frame_map: FrameMap
) -> Bool[Tensor, "object framed_row framed_column"]:
    """Move the masks of an image into the frame; at least half covered is inside.

    Only the part around each object is looked at, which is most of the time a small one.
    """
    size = frame_map.framing.input_size
    framed = torch.zeros(len(masks), size, size, dtype=torch.bool)
    for plane, mask in zip(framed, masks, strict=True):
        near = _surroundings(mask, steps=_steps(frame_map.original_of_framed))
        if near is None:
            continue
        seen = _framed_region(near, frame_map.framed_of_original, size=size)
        if seen.right <= seen.left or seen.bottom <= seen.top:
            continue
        part = mask[near.top : near.bottom, near.left : near.right]
        # Masks come column by column; turning bytes is many times faster than turning floats.
        part = np.ascontiguousarray(part).astype(np.float32)
        part_of_framed = _translation(-near.left, -near.top) @ frame_map.original_of_framed
        covered = _sample(torch.from_numpy(part)[None], part_of_framed, region=seen)[0]
        plane[seen.top : seen.bottom, seen.left : seen.right] = covered >= 0.5
    return framed


@dataclass(frozen=True, kw_only=True)
class _Region:
    """Some columns and rows of an image; `right` and `bottom` come after the last ones."""

    left: int
    top: int
    right: int
    bottom: int


def _sample(
    layers: Float[Tensor, "layer row column"], original_of_framed: Matrix, *, region: _Region
) -> Float[Tensor, "layer region_row region_column"]:
    """Return what a region of the frame sees of the layers; 0 beside them."""
    layers, original_of_framed = _shrink_where_coarse(layers, original_of_framed)
    rows, columns = layers.shape[1:]
    # grid_sample counts from -1 at the left or upper edge to 1 at the other.
    normalized = np.diag([2.0 / columns, 2.0 / rows, 1.0]) @ original_of_framed
    normalized[:2, 2] -= 1.0
    grid = _sampling_grid(normalized, region=region)
    return functional.grid_sample(
        layers[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0]


def _sampling_grid(
    normalized_of_framed: Matrix, *, region: _Region
) -> Float[Tensor, "region_row region_column 2"]:
    """Return where the centres of a region's pixels look, as `grid_sample` reads it.

    An (x, y) pair lies in memory as a complex number, so that one addition fills the whole grid;
    and numpy, as regions are mostly small and torch's calls cost more than the arithmetic.
    """
    across, down, offset = normalized_of_framed[:2].T.astype(np.float32)
    x = np.arange(region.left + 0.5, region.right, dtype=np.float32)[:, None]
    y = np.arange(region.top + 0.5, region.bottom, dtype=np.float32)[:, None]
    columns, rows = (x * across + offset).view(np.complex64), (y * down).view(np.complex64)
    grid = rows + columns[:, 0]
    return torch.from_numpy(grid.view(np.float32).reshape(*grid.shape, 2))


def _shrink_where_coarse(
    layers: Float[Tensor, "layer row column"], original_of_framed: Matrix
) -> tuple[Float[Tensor, "layer smaller_row smaller_column"], Matrix]:
    """Resize along each axis whose pixels would be skipped, so that none is left unseen."""
    rows, columns = layers.shape[1:]
    step_x, step_y = _steps(original_of_framed)
    new_rows = max(round(rows / step_y), 1) if step_y > _LARGEST_STEP_PIXELS else rows
    new_columns = max(round(columns / step_x), 1) if step_x > _LARGEST_STEP_PIXELS else columns
    if (new_rows, new_columns) == (rows, columns):
        return layers, original_of_framed
    smaller = functional.interpolate(
        layers[None], size=(new_rows, new_columns), mode="bilinear", antialias=True
    )[0]
    return smaller, np.diag([new_columns / columns, new_rows / rows, 1.0]) @ original_of_framed


def _steps(original_of_framed: Matrix) -> tuple[float, float]:
    """Return how far apart neighbouring framed pixels look, along the original's x and y."""
    step_x, step_y = np.hypot(original_of_framed[:2, 0], original_of_framed[:2, 1])
    return float(step_x), float(step_y)


def _surroundings(mask: np.ndarray, *, steps: tuple[float, float]) -> _Region | None:
    """Return the object's box and as much around it as resizing reaches; None if it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    margin_x, margin_y = (math.ceil(2.0 * max(step, 1.0)) for step in steps)
    return _Region(
        left=max(int(columns[0]) - margin_x, 0),
        top=max(int(rows[0]) - margin_y, 0),
        right=min(int(columns[-1]) + 1 + margin_x, mask.shape[1]),
        bottom=min(int(rows[-1]) + 1 + margin_y, mask.shape[0]),
    )


def _framed_region(near: _Region, framed_of_original: Matrix, *, size: int) -> _Region:
    """Return the part of the frame in which a region of the original image comes to lie."""
    sides = [[near.left, near.right, near.left, near.right]]
    ends = [[near.top, near.top, near.bottom, near.bottom]]
    corners = framed_of_original[:2] @ np.vstack([sides, ends, np.ones((1, 4))])
    left, top = np.floor(corners.min(axis=1)).astype(int).clip(0, size).tolist()
    right, bottom = np.ceil(corners.max(axis=1)).astype(int).clip(0, size).tolist()
    return _Region(left=left, top=top, right=right, bottom=bottom)


def _rotation(radians: float) -> Matrix:
    cosine, sine = np.cos(radians), np.sin(radians)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _zoom(factor: float, x_pixels: float, y_pixels: float) -> Matrix:
    return np.array(
        [[factor, 0.0, -factor * x_pixels], [0.0, factor, -factor * y_pixels], [0.0, 0.0, 1.0]]
    )


def _translation(x_pixels: float, y_pixels: float) -> Matrix:
    return np.array([[1.0, 0.0, x_pixels], [0.0, 1.0, y_pixels], [0.0, 0.0, 1.0]])
