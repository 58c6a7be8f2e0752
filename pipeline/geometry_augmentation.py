"""Framing, rotation, zoom and flip of an image and its masks, as one affine map.

Axis names used in this file:
    layer        one plane that is warped: a colour channel of the image, or a mask
    row, column  of the original image, or of the framed one

All matrices are 3 x 3 and map homogeneous (x, y, 1) in pixels. The upper left corner of an image is
(0, 0) and the centre of its first pixel (0.5, 0.5).
"""

from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from model import Framing

from .augmentation_config import AugmentationConfig

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
        factor = 1.0 + abs(zoom) * (config.max_zoom - 1.0)
        free_pixels = 0.5 * size * (1.0 - 1.0 / factor)
        moves = _zoom(factor, shift_x * free_pixels, shift_y * free_pixels) @ moves
    if np.array_equal(moves, np.eye(3)):
        return None
    return _translation(0.5 * size) @ moves @ _translation(-0.5 * size)


def warp_to_frame(
    layers: Float[Tensor, "layer row column"],
    *,
    framing: Framing,
    geometry: Matrix | None,
) -> Float[Tensor, "layer framed_row framed_column"]:
    """Frame the layers and move their pixels by `geometry`, interpolating once.

    Outside of the original image everything is 0. Without `geometry` this is `framing.frame`.

    Args:
        layers: Image channels and masks, as numbers in [0, 1].
        framing: How an image becomes a square of the model's size.
        geometry: A map of the framed image onto itself.
    """
    if geometry is None:
        return framing.frame(layers)
    rows, columns = layers.shape[1:]
    original_of_framed = np.linalg.inv(geometry @ frame_matrix(framing, (rows, columns)))
    layers, original_of_framed = _shrink_where_coarse(layers, original_of_framed)
    grid = _sampling_grid(original_of_framed, layers.shape[1:], size=framing.input_size)
    return functional.grid_sample(
        layers[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0]


def frame_matrix(framing: Framing, original_size: tuple[int, int]) -> Matrix:
    """Return the map from original to framed pixels, counted from the corner as all maps here."""
    between_centres = framing.frame_matrix(original_size).double().numpy()
    square = np.vstack([between_centres, [0.0, 0.0, 1.0]])
    return _translation(0.5) @ square @ _translation(-0.5)


def acquisition_matrix(
    framing: Framing, *, geometry: Matrix | None, original_size: tuple[int, int]
) -> Matrix:
    """Return the map from framed pixels to (across, depth), each in [0, 1] on the original image.

    The probe is taken to lie along the original's upper edge, as is the custom.
    """
    rows, columns = original_size
    framed_of_original = frame_matrix(framing, original_size)
    if geometry is not None:
        framed_of_original = geometry @ framed_of_original
    return np.diag([1.0 / columns, 1.0 / rows, 1.0]) @ np.linalg.inv(framed_of_original)


def _shrink_where_coarse(
    layers: Float[Tensor, "layer row column"], original_of_framed: Matrix
) -> tuple[Float[Tensor, "layer smaller_row smaller_column"], Matrix]:
    """Resize along each axis whose pixels would be skipped, so that none is left unseen."""
    rows, columns = layers.shape[1:]
    step_x, step_y = np.hypot(original_of_framed[:2, 0], original_of_framed[:2, 1])
    new_rows = max(round(rows / step_y), 1) if step_y > _LARGEST_STEP_PIXELS else rows
    new_columns = max(round(columns / step_x), 1) if step_x > _LARGEST_STEP_PIXELS else columns
    if (new_rows, new_columns) == (rows, columns):
        return layers, original_of_framed
    smaller = functional.interpolate(
        layers[None], size=(new_rows, new_columns), mode="bilinear", antialias=True
    )[0]
    return smaller, np.diag([new_columns / columns, new_rows / rows, 1.0]) @ original_of_framed


def _sampling_grid(
    original_of_framed: Matrix, original_size: tuple[int, ...], *, size: int
) -> Float[Tensor, "framed_row framed_column 2"]:
    """Return where each framed pixel looks, in grid_sample's coordinates from -1 to 1."""
    rows, columns = original_size
    normalized = np.diag([2.0 / columns, 2.0 / rows, 1.0]) @ original_of_framed
    normalized[:2, 2] -= 1.0
    grid = torch.empty(size, size, 2)
    for axis in range(2):
        torch.add(*linear_field(normalized[axis], size=size), out=grid[..., axis])
    return grid


def linear_field(
    coefficients: Float[np.ndarray, " 3"], *, size: int
) -> tuple[Float[Tensor, " framed_column"], Float[Tensor, "framed_row 1"]]:
    """Return a x + b y + c at the centres of framed pixels, as two parts that add up to it."""
    across, down, offset = (float(value) for value in coefficients)
    centres = torch.arange(size, dtype=torch.float32) + 0.5
    return centres * across + offset, (centres * down)[:, None]


def _rotation(radians: float) -> Matrix:
    cosine, sine = np.cos(radians), np.sin(radians)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _zoom(factor: float, x_pixels: float, y_pixels: float) -> Matrix:
    return np.array(
        [[factor, 0.0, -factor * x_pixels], [0.0, factor, -factor * y_pixels], [0.0, 0.0, 1.0]]
    )


def _translation(pixels: float) -> Matrix:
    return np.array([[1.0, 0.0, pixels], [0.0, 1.0, pixels], [0.0, 0.0, 1.0]])
