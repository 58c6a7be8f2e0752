"""The three forms in which a COCO file gives a mask."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from shards.sample import RunLength

MAX_SIDES_AWAY = 4
"""Corners of a polygon may lie so many sides of the picture from its first pixel."""


def coco_mask_of(
    segmentation: Any,  # noqa: ANN401 -- a list or a mapping, as the file has it
    *,
    size: tuple[int, int],
    where: str,
) -> np.ndarray:
    """Return the bool mask (row column) of a `segmentation`: polygons or run lengths.

    Args:
        segmentation: A list of flat x1, y1, x2, y2, ... lists, or `{"size", "counts"}` with
            counts as numbers or as COCO's text.
        size: Rows and columns of the image itself, which run lengths must agree with.
        where: File and annotation, for messages.

    Raises:
        ValueError: It is none of these, or belongs to another size.
    """
    if isinstance(segmentation, list) and segmentation:
        return _fill_all(segmentation, size=size, where=where)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(
            f"{where}: `segmentation` is {str(segmentation)[:60]!r}; expected polygons, or a "
            "mapping with `size` and `counts`. Fix the annotation."
        )
    found = tuple(segmentation["size"])
    if found != size:
        raise ValueError(
            f"{where}: the mask is {found[0]} x {found[1]} pixels, the image {size[0]} x "
            f"{size[1]}. Fix the annotation."
        )
    counts = segmentation["counts"]
    if not isinstance(counts, list):
        counts = _unpack(counts if isinstance(counts, bytes) else str(counts).encode())
    return _from_counts(counts, size=size, where=where)


def _fill_all(polygons: list[Any], *, size: tuple[int, int], where: str) -> np.ndarray:
    """Return what any of the polygons covers, pixel for pixel as COCO's own tools fill them."""
    for flat in polygons:
        is_polygon = isinstance(flat, list) and len(flat) >= 6 and len(flat) % 2 == 0
        if not is_polygon or not _lies_near(flat, size=size):
            raise ValueError(
                f"{where}: a polygon is {str(flat)[:60]!r}; expected x1, y1, x2, y2 and so on, of "
                "three corners or more in the picture. Fix the annotation."
            )
    packed: Any = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    rows, columns = size
    return RunLength(rows=rows, columns=columns, counts=packed["counts"].decode("ascii")).mask()


def _lies_near(flat: list[Any], *, size: tuple[int, int]) -> bool:
    """Say whether all coordinates are numbers not far outside; COCO's tools check neither."""
    try:
        corners = np.asarray(flat, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return corners.ndim == 1 and bool((np.abs(corners) <= MAX_SIDES_AWAY * max(size)).all())


def _unpack(text: bytes) -> list[int]:
    """Return the counts of COCO's text; broken text gives counts that do not add up.

    Five bits a character, the lowest first, with one that says that more follow; from the third
    count on each is the difference to the one before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64:
            return []
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts if shift == 0 else []


def _from_counts(counts: list[int], *, size: tuple[int, int], where: str) -> np.ndarray:
    """Unpack runs of background and foreground in turn, down the columns."""
    rows, columns = size
    is_whole = all(isinstance(count, int) and count >= 0 for count in counts)
    if not is_whole or sum(counts) != rows * columns:
        raise ValueError(
            f"{where}: the run lengths do not add up to {rows} x {columns} pixels. "
            "Fix the annotation."
        )
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape((rows, columns), order="F")
