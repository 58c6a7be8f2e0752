"""What of a picture survives when it is copied: hashes of its blobs, each with its place.

A copy may be cropped, scaled, brightened, mirrored or drawn on. One hash of the whole frame bears
only some of that, so a picture gets one of the frame and up to `MAX_BLOBS` of blobs that stand out
from their surroundings: blobs outside a crop or under a mark are lost, the others stay. A hash is
the signs of the low frequencies of a cosine transform, which brightness and contrast leave alone.

Axis names used in this file:
    blob    one blob, or the whole frame, which comes first
    level   scales, from fine to coarse
    row     rows of the thumbnail, in pixels, downwards
    column  columns of the thumbnail, in pixels, to the right
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

THUMBNAIL_PIXELS = 128
"""Longest side of the picture that is looked at; finer detail differs between two copies."""

MAX_BLOBS = 40
PATCH_PIXELS = 16
NUM_FREQUENCIES = 8
SCALES = tuple(1.6 * 2 ** (step / 3) for step in range(8))
RADIUS_SCALES = 5.0
"""Half the side of a blob's patch, in scales: large enough to hold what tells it from others."""

MIRRORED_BIT = np.uint64(1) << np.uint64(63)
"""Set where the patch was mirrored before it was hashed."""

HASH_MASK = ~MIRRORED_BIT
NUM_HASH_BITS = NUM_FREQUENCIES**2 - 2

DESCRIPTOR = np.dtype(
    [("hash", "<u8"), ("row", "<f2"), ("column", "<f2"), ("height", "<f2"), ("width", "<f2")]
)
"""`row` and `column` of the centre and half sides, in units of the picture's longest side.

16 bytes, so that the 41 descriptors of 300,000 pictures fit into 200 MB.
"""

BOX_FIELDS = ("row", "column", "height", "width")


@dataclass(frozen=True, kw_only=True)
class _Blobs:
    level: np.ndarray
    row: np.ndarray
    column: np.ndarray


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """Return the picture in grey, float32 (row column) in [0, 1], its proportions kept.

    Args:
        image: uint8, (row column) or (row column 3).
    """
    rows, columns = image.shape[:2]
    scale = THUMBNAIL_PIXELS / max(rows, columns)
    size = (max(round(columns * scale), 8), max(round(rows * scale), 8))
    grey = Image.fromarray(image).convert("L").resize(size, Image.Resampling.BILINEAR)
    return np.asarray(grey, np.float32) / 255


def describe_image(thumbnail: np.ndarray) -> np.ndarray:
    """Return the descriptors (blob) of a thumbnail (row column), the whole frame first.

    A picture of one value has no descriptor: all such pictures would be copies of each other.
    """
    if np.ptp(thumbnail) == 0:
        return np.empty(0, DESCRIPTOR)
    levels = np.stack([ndimage.gaussian_filter(thumbnail, scale) for scale in SCALES])
    blobs = _find_blobs(levels)
    rows, columns = thumbnail.shape
    longest = max(rows, columns)
    described = np.empty(1 + len(blobs.row), DESCRIPTOR)
    radius = np.array(SCALES)[blobs.level] * RADIUS_SCALES
    described["row"] = np.append((rows - 1) / 2, blobs.row) / longest
    described["column"] = np.append((columns - 1) / 2, blobs.column) / longest
    described["height"] = np.append(rows / 2, radius) / longest
    described["width"] = np.append(columns / 2, radius) / longest
    level = np.append(0, blobs.level)
    described["hash"] = _hash_patches(_cut_patches(levels, described=described, level=level))
    return described


def _find_blobs(levels: np.ndarray) -> _Blobs:
    """Return the strongest extrema over place and scale of the differences of the levels."""
    differences = np.diff(levels, axis=0)
    is_extreme = ndimage.maximum_filter(differences, size=3) == differences
    is_extreme &= differences > 0
    is_valley = ndimage.minimum_filter(differences, size=3) == differences
    is_extreme |= is_valley & (differences < 0)
    is_extreme[[0, -1]] = False  # their scale may lie outside those looked at
    found = np.flatnonzero(is_extreme)
    strength = np.abs(differences.ravel()[found])
    strongest = found[np.argsort(-strength, kind="stable")[:MAX_BLOBS]]
    level, row, column = np.unravel_index(strongest, differences.shape)
    return _Blobs(level=level, row=row, column=column)


def _cut_patches(levels: np.ndarray, *, described: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Sample a patch (blob, row, column) around every descriptor, from the level of its scale."""
    longest = max(levels.shape[1:])
    steps = (np.arange(PATCH_PIXELS) + 0.5) / PATCH_PIXELS * 2 - 1
    box = {name: described[name].astype(np.float32)[:, None] * longest for name in BOX_FIELDS}
    rows = box["row"] + box["height"] * steps
    columns = box["column"] + box["width"] * steps
    shape = (len(described), PATCH_PIXELS, PATCH_PIXELS)
    places = [
        np.broadcast_to(level[:, None, None], shape),
        np.broadcast_to(rows[:, :, None], shape),
        np.broadcast_to(columns[:, None, :], shape),
    ]
    return ndimage.map_coordinates(levels, places, order=1, mode="nearest")


def _hash_patches(patches: np.ndarray) -> np.ndarray:
    """Return 62 bits a patch, low frequencies first, and the bit that says it was mirrored.

    Of a patch and its mirror image the one that is brighter on the left is hashed.
    """
    cosines = _cosines()
    transformed = cosines @ patches @ cosines.T
    is_mirrored = transformed[:, 0, 1] < 0
    transformed[is_mirrored, :, 1::2] *= -1
    frequency = np.add.outer(np.arange(NUM_FREQUENCIES), np.arange(NUM_FREQUENCIES)).ravel()
    order = np.argsort(frequency, kind="stable")
    kept = order[order > 1]  # neither the mean nor the term that chose the mirror image
    signs = transformed.reshape(len(patches), -1)[:, kept] > 0
    powers = np.uint64(1) << np.arange(NUM_HASH_BITS, dtype=np.uint64)[::-1]
    hashes = (signs * powers).sum(axis=1, dtype=np.uint64)
    return np.where(is_mirrored, hashes | MIRRORED_BIT, hashes)


def _cosines() -> np.ndarray:
    """Return the first rows of the cosine transform of a patch's side."""
    frequency = np.arange(NUM_FREQUENCIES)[:, None]
    return np.cos(np.pi * frequency * (2 * np.arange(PATCH_PIXELS) + 1) / (2 * PATCH_PIXELS))
