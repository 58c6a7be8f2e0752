"""Videos whose left ventricle was traced in single frames, and tables of the tracings."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from shards.reading import RawFile, fill_polygon

LEFT_VENTRICLE = "left_ventricle"


def group_rows(
    rows: Iterable[Mapping[str, str]],
) -> dict[tuple[str, str], list[Mapping[str, str]]]:
    """Return (file without extension, frame as written) -> its rows, in the table's order."""
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        name = row["FileName"]
        groups[name.removesuffix(".avi"), row["Frame"].strip()].append(row)
    return groups


def polygon_of_chords(rows: Sequence[Mapping[str, str]]) -> tuple[tuple[float, float], ...]:
    """Return the outline that chords across the ventricle span; the first row is its long axis."""
    there = [_point(row, names=("X1", "Y1")) for row in rows[1:]]
    back = [_point(row, names=("X2", "Y2")) for row in reversed(rows[1:])]
    return (*there, *back)


def polygon_of_points(rows: Sequence[Mapping[str, str]]) -> tuple[tuple[float, float], ...]:
    """Return the outline that the rows give point by point."""
    return tuple(_point(row, names=("X", "Y")) for row in rows)


def draw_ventricle(
    size: tuple[int, int], *, points: tuple[tuple[float, float], ...], table: RawFile
) -> dict[str, np.ndarray]:
    """Return the mask of a tracing on a frame of `size` rows and columns."""
    return {LEFT_VENTRICLE: fill_polygon(points, size=size, where=str(table))}


def _point(row: Mapping[str, str], *, names: tuple[str, str]) -> tuple[float, float]:
    try:
        return float(row[names[0]]), float(row[names[1]])
    except ValueError as error:
        raise ValueError(
            f"{row['FileName']} frame {row['Frame']}: the tracing has the point "
            f"{[row[name] for name in names]}; expected two numbers. Fix the table."
        ) from error
