"""Whether two pictures show the same: one is laid onto the other, then they are correlated.

A map takes places of the first picture to the second: row and column are scaled and shifted apart,
since a copy may be squeezed. Places are in units of each picture's longest side.

Axis names used in this file:
    match   two descriptors with nearly the same hash
    block   squares of a thumbnail
    pixel   of a block
    row     rows of a thumbnail, in pixels, downwards
    column  columns of a thumbnail, in pixels, to the right
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MIN_CORRELATION = 0.7
MIN_SHARED_SHARE = 0.35
"""Of the area of the picture of which more is seen in the other one."""

DETAIL_PIXELS = 6.0
"""Coarser structure than this is left out: two hearts are alike in it."""

BLOCK_PIXELS = 12
MIN_BLOCKS = 6
MIN_CONTRAST = 0.01
"""Of a block, as a standard deviation: below it there is nothing to correlate."""

_MATCH_TOLERANCE = 0.06
_MIN_SPREAD = 0.2
_FINENESS = (4, 2, 1)
"""Blur of the pictures, in pixels, while the map is refined; every so many pixels are looked at."""

_STEPS = 6
_MIN_PLACES = 32

_HOPELESS_CORRELATION = 0.2
"""Below it after the coarse steps, the finest is not worth its time."""


@dataclass(frozen=True, kw_only=True)
class PlaneMap:
    """`second = scale * first + shift`, for rows and for columns."""

    scale: tuple[float, float]
    shift: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """How well two pictures agree where they overlap."""

    correlation: float
    """Median over blocks of the overlap: a mark drawn on a copy spoils only its own blocks."""

    shared_share: float
    plane_map: PlaneMap

    @property
    def is_duplicate(self) -> bool:
        """Whether the two show the same."""
        return self.correlation >= MIN_CORRELATION and self.shared_share >= MIN_SHARED_SHARE


def confirm_pair(first: np.ndarray, second: np.ndarray, *, start: PlaneMap) -> Confirmation:
    """Refine the map from `start` and correlate what both thumbnails (row column) show."""
    plane_map = start
    *coarse, finest = _FINENESS
    for blur in coarse:
        plane_map = _refine(first, second, plane_map=plane_map, blur=blur)
    confirmation = _correlate(first, second, plane_map=plane_map)
    if confirmation.correlation < _HOPELESS_CORRELATION:
        return confirmation
    plane_map = _refine(first, second, plane_map=plane_map, blur=finest)
    return _correlate(first, second, plane_map=plane_map)


def map_from_matches(first: np.ndarray, second: np.ndarray) -> PlaneMap:
    """Return the map that most matches of two pictures agree on.

    Args:
        first: Descriptors (match) of the first picture.
        second: Those of the second picture, mirrored already where the pair is.
    """
    one, other = (
        np.stack([side[name].astype(np.float64) for name in ("row", "column", "height", "width")])
        for side in (first, second)
    )
    scales = other[2:] / one[2:]
    shifts = other[:2] - scales * one[:2]
    guessed = scales[:, :, None] * one[:2, None, :] + shifts[:, :, None]
    is_near = np.abs(guessed - other[:2, None, :]).max(axis=0) <= _MATCH_TOLERANCE
    best = int(is_near.sum(axis=1).argmax())
    near = is_near[best]
    scale, shift = [], []
    for axis in range(2):
        spread = np.ptp(one[axis, near])
        # Blobs close together tell the shift only; then their sizes tell the scale.
        line = (
            np.polyfit(one[axis, near], other[axis, near], 1)
            if spread > 0.2
            else (
                scales[axis, best],
                np.mean(other[axis, near] - scales[axis, best] * one[axis, near]),
            )
        )
        scale.append(float(line[0]))
        shift.append(float(line[1]))
    return PlaneMap(scale=(scale[0], scale[1]), shift=(shift[0], shift[1]))


def _refine(first: np.ndarray, second: np.ndarray, *, plane_map: PlaneMap, blur: int) -> PlaneMap:
    """Improve a map by Gauss-Newton steps on brightness; gain and offset are fitted along."""
    target, moving = (ndimage.gaussian_filter(one, blur) for one in (first, second))
    rows, columns = (places[::blur, ::blur] for places in _places(first))
    target = target[::blur, ::blur]
    slopes = [gradient * max(second.shape) for gradient in np.gradient(moving)]
    for _ in range(_STEPS):
        where, inside = _map_places(rows, columns, plane_map=plane_map, shape=second.shape)
        if inside.sum() < _MIN_PLACES:
            break
        seen, down, across = (
            ndimage.map_coordinates(one, where[:, inside], order=1) for one in (moving, *slopes)
        )
        row, column = rows[inside], columns[inside]
        terms = np.stack(
            [seen, np.ones_like(seen), down * row, down, across * column, across], axis=1
        )
        normal = terms.T @ terms
        normal += 1e-6 * np.trace(normal) / len(normal) * np.eye(len(normal))
        solution = np.linalg.solve(normal, terms.T @ target[inside])
        if solution[0] <= 0.05:
            break
        change = np.clip(solution[2:] / solution[0], -0.1, 0.1)
        plane_map = PlaneMap(
            scale=(plane_map.scale[0] + change[0], plane_map.scale[1] + change[2]),
            shift=(plane_map.shift[0] + change[1], plane_map.shift[1] + change[3]),
        )
    return plane_map


def _correlate(first: np.ndarray, second: np.ndarray, *, plane_map: PlaneMap) -> Confirmation:
    rows, columns = _places(first)
    where, inside = _map_places(rows, columns, plane_map=plane_map, shape=second.shape)
    seen = ndimage.map_coordinates(second, where, order=1, mode="nearest")
    shown, seen, covered = (
        _blocks(one) for one in (_detail(first), _detail(seen), inside.astype(np.float64))
    )
    contrast = np.minimum(shown.std(axis=1), seen.std(axis=1))
    useful = (contrast >= MIN_CONTRAST) & covered.all(axis=1)
    correlations = _correlations(shown[useful], seen[useful])
    scale = abs(plane_map.scale[0] * plane_map.scale[1]) * max(second.shape) ** 2
    share_of_second = inside.sum() / max(first.shape) ** 2 * scale / second.size
    return Confirmation(
        correlation=float(np.median(correlations)) if len(correlations) >= MIN_BLOCKS else 0.0,
        shared_share=float(min(max(inside.mean(), share_of_second), 1.0)),
        plane_map=plane_map,
    )


def _places(thumbnail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices(thumbnail.shape) / max(thumbnail.shape)
    return rows, columns


def _map_places(
    rows: np.ndarray, columns: np.ndarray, *, plane_map: PlaneMap, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return where places lie in the other thumbnail, in pixels, and which lie inside it."""
    places = np.stack([rows, columns])
    scale, shift = (np.array(pair)[:, None, None] for pair in (plane_map.scale, plane_map.shift))
    where = (scale * places + shift) * max(shape)
    last = np.array(shape)[:, None, None] - 1
    return where, np.asarray(((where >= 0) & (where <= last)).all(axis=0))


def _detail(thumbnail: np.ndarray) -> np.ndarray:
    return thumbnail - ndimage.gaussian_filter(thumbnail, DETAIL_PIXELS)


def _blocks(thumbnail: np.ndarray) -> np.ndarray:
    """Cut a thumbnail into squares (block, pixel); what is left at its end is dropped."""
    rows, columns = (side // BLOCK_PIXELS for side in thumbnail.shape)
    whole = thumbnail[: rows * BLOCK_PIXELS, : columns * BLOCK_PIXELS]
    blocks = whole.reshape(rows, BLOCK_PIXELS, columns, BLOCK_PIXELS).swapaxes(1, 2)
    return blocks.reshape(rows * columns, BLOCK_PIXELS**2)


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation of each block (block, pixel) with its partner."""
    one, other = (blocks - blocks.mean(axis=1, keepdims=True) for blocks in (first, second))
    return (one * other).mean(axis=1) / (one.std(axis=1) * other.std(axis=1))
