"""Polygons of raw datasets: plain lists of points, LabelMe files; filled with their border."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .raw_files import RawFile
from .tables import read_text

Points = Sequence[tuple[float, float]]
"""Column and row (x, y) of each corner, in pixels; the centre of the first pixel is (0, 0)."""


def read_json(file: RawFile) -> Any:  # noqa: ANN401 -- whatever the file holds
    """Read a JSON file; text that is not UTF-8 is taken as Latin-1, which keeps the numbers.

    Raises:
        ValueError: It is no JSON.
    """
    text = read_text(file)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: is no JSON ({error}). Fetch the file again.") from error


def fill_polygon(points: Points, *, size: tuple[int, int], where: str) -> np.ndarray:
    """Return the inside of a polygon, its border included: bool (row column).

    Args:
        points: Corners; parts outside the picture are cut off.
        size: Rows and columns of the picture.
        where: The file, for messages.

    Raises:
        ValueError: There are fewer than three corners, or one is no number.
    """
    if len(points) < 3 or not np.isfinite(np.asarray(points, dtype=np.float64)).all():
        raise ValueError(
            f"{where}: a polygon of {len(points)} points encloses nothing, or a point is no "
            "number. Fix the file, or take it out."
        )
    rows, columns = size
    canvas = Image.new("1", (columns, rows))
    corners = [(round(float(x)), round(float(y))) for x, y in points]
    ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=1)
    return np.asarray(canvas)


def plain_polygon(file: RawFile) -> Points:
    """Return the polygon of a JSON file that is one bare list of [x, y] pairs.

    Raises:
        ValueError: It is not.
    """
    content = read_json(file)
    points = _as_points(content)
    if points is None:
        raise ValueError(
            f"{file}: expected a list of [x, y] pairs, found {str(content)[:60]!r}. Fix the file."
        )
    return points


def labelme_polygons(file: RawFile) -> Iterator[tuple[str, Points]]:
    """Yield label and polygon of each shape of a LabelMe file.

    Raises:
        ValueError: The file has no `shapes`, or a shape lacks a label or points.
    """
    content = read_json(file)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise ValueError(f"{file}: has no list `shapes`, so it is no LabelMe file. Fix the file.")
    for shape in shapes:
        points = _as_points(shape.get("points")) if isinstance(shape, dict) else None
        if points is None or not isinstance(shape.get("label"), str):
            raise ValueError(
                f"{file}: a shape lacks its label or its points: {str(shape)[:60]!r}. Fix the file."
            )
        yield shape["label"], points


def _as_points(content: object) -> Points | None:
    if not isinstance(content, list):
        return None
    try:
        return [(float(x), float(y)) for x, y in content]
    except (TypeError, ValueError):
        return None
