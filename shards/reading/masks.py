"""Masks of raw datasets: thresholds, index values, colours, outlines to fill.

Axis names used in this file:
    row     image rows, in pixels
    column  image columns, in pixels
"""

from collections.abc import Collection, Iterable, Mapping
from typing import cast

import numpy as np
from PIL import Image

from shards.image_file import label_from_bytes, open_picture

from .raw_files import RawFile

HALF_RANGE = 128
"""Of 8 bits: between the two levels of a mask whose edges were blurred or compressed."""

COLOUR_TOLERANCE = 60
"""Per channel: what compression and smoothing leave of a pure colour."""


def grey_values(file: RawFile) -> np.ndarray:
    """Return a mask picture as 8-bit grey (row column): luma of colours, 0 and 255 of bits."""
    picture = open_picture(file.read_bytes(), where=str(file))
    if picture.mode in {"I", "I;16", "I;16B", "I;16L", "F"}:
        raise ValueError(
            f"{file}: a mask of mode {picture.mode} holds no 8-bit grey values. "
            "Save it with 8 bits."
        )
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        picture = picture.convert("RGB")
    return np.asarray(picture.convert("L"))


def threshold_mask(file: RawFile, *, at_least: int = HALF_RANGE) -> np.ndarray:
    """Return where a mask picture's grey value is at least `at_least`: bool (row column).

    A picture whose highest value is 1 holds bits or indices that nobody stretched; there 1 counts.
    """
    values = grey_values(file)
    return values >= (1 if values.max(initial=0) == 1 else at_least)


def union_masks(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Return where any of several masks of one size is set; there must be one at least."""
    return np.logical_or.reduce(list(masks))


def index_masks(file: RawFile, *, classes: Collection[int]) -> dict[int, np.ndarray]:
    """Return class value -> bool mask (row column) of a picture that holds class values.

    Raises:
        ValueError: It holds a value that is neither 0 nor a class.
    """
    return split_values(
        label_from_bytes(file.read_bytes(), where=str(file)), classes=classes, where=str(file)
    )


def split_values(
    values: np.ndarray, *, classes: Collection[int], where: str
) -> dict[int, np.ndarray]:
    """Return class value -> bool mask of an array of class values; as `index_masks`."""
    present = {int(value) for value in np.unique(values)} - {0}
    if present - set(classes):
        raise ValueError(
            f"{where}: the mask holds the values {sorted(present)}; expected 0 and "
            f"{sorted(classes)}. Fix the mask, or take the file out."
        )
    return {value: values == value for value in sorted(present)}


def colour_masks(
    file: RawFile,
    *,
    colours: Mapping[str, tuple[int, int, int]],
    tolerance: int = COLOUR_TOLERANCE,
) -> tuple[dict[str, np.ndarray], int]:
    """Return name -> bool mask (row column) of a picture painted in colours on black.

    Args:
        file: The picture; an alpha channel is dropped.
        colours: Name to red, green and blue.
        tolerance: A pixel is of the nearest colour, black included, if no channel is further off.

    Returns:
        The masks of the colours that occur, and the number of pixels that are near no colour.
    """
    picture = open_picture(file.read_bytes(), where=str(file)).convert("RGB")
    pixels = np.asarray(picture)
    is_painted = pixels.any(axis=-1)  # few pixels are, and what follows is slow
    painted = pixels[is_painted].astype(np.int16)
    table = np.array([(0, 0, 0), *colours.values()], dtype=np.int16)
    distances = np.abs(painted[:, None] - table).max(axis=-1)
    nearest = np.where(distances.min(axis=1) <= tolerance, distances.argmin(axis=1), -1)
    values = np.zeros(is_painted.shape, dtype=np.int64)
    values[is_painted] = nearest
    masks = {name: values == place for place, name in enumerate(colours, start=1)}
    found = {name: mask for name, mask in masks.items() if mask.any()}
    return found, int((nearest == -1).sum())


def resize_mask(mask: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    """Return a bool mask on a grid of other rows and columns, nearest neighbour."""
    rows, columns = size
    picture = Image.fromarray(mask).resize((columns, rows), Image.Resampling.NEAREST)
    return np.asarray(picture)


def fill_outline(outline: np.ndarray, *, where: str) -> np.ndarray:
    """Return what a drawn outline encloses, the line included: bool (row column).

    An outline that runs out of the picture is closed along the border: of the two sides the one
    that holds the middle of the line is the inside.

    Raises:
        ValueError: The line encloses nothing, neither by itself nor with the border.
    """
    from scipy import ndimage  # noqa: PLC0415 -- readers of shards never need it

    regions, num_regions = cast(tuple[np.ndarray, int], ndimage.label(~outline))
    is_outside = np.zeros(num_regions + 1, dtype=bool)
    for side in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        is_outside[side] = True
    is_outside[0] = False  # the line itself
    filled = ~is_outside[regions]
    if not outline.any() or filled.sum() > 2 * outline.sum():
        return filled
    rows, columns = np.nonzero(outline)
    middle = regions[round(float(rows.mean())), round(float(columns.mean()))]
    inside = regions == middle
    box = np.zeros_like(inside)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    if middle == 0 or (inside & ~box).any():
        raise ValueError(
            f"{where}: the outline is not closed, not even by the picture's border. Close it, or "
            "take the file out."
        )
    return inside | outline
