"""How large a mask is: its area, and its longest and its shortest diameter.

Axis names used in this file:
    row, column  of the image
    vertex       corners of a convex outline
    2            along rows and along columns, in the unit of the measurement
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The size of one mask; the diameters are those of its largest piece."""

    num_pixels: int
    num_pieces: int
    """Parts that do not touch, not even by a corner."""

    area: float
    """In square millimetres or in pixels, as `unit` says."""

    longest_diameter: float
    """Between the two corners that lie furthest apart; 0 for an empty mask."""

    shortest_diameter: float
    """Between the two parallel lines that lie closest together around it; 0 for an empty mask."""

    unit: str
    """`mm` where the size of a pixel is known, else `px`."""


def measure_mask(
    mask: Bool[np.ndarray, "row column"], *, spacing_millimetres: tuple[float, float] | None
) -> Measurement:
    """Return the sizes of a mask; pixels count with their whole area, so one pixel is 1 px wide.

    Args:
        mask: What was segmented.
        spacing_millimetres: Between rows and between columns; None measures in pixels.
    """
    from scipy import ndimage  # noqa: PLC0415 -- half a second

    spacing = np.array(spacing_millimetres or (1.0, 1.0), dtype=np.float64)
    labelled: Any = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    pieces, num_pieces = labelled
    longest = shortest = 0.0
    if num_pieces:
        largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
        longest, shortest = _diameters(largest, spacing=spacing)
    num_pixels = int(mask.sum())
    return Measurement(
        num_pixels=num_pixels,
        num_pieces=int(num_pieces),
        area=num_pixels * math.prod(spacing.tolist()),
        longest_diameter=longest,
        shortest_diameter=shortest,
        unit="px" if spacing_millimetres is None else "mm",
    )


def _diameters(
    mask: Bool[np.ndarray, "row column"], *, spacing: Float[np.ndarray, " 2"]
) -> tuple[float, float]:
    """Return the longest and shortest width of the convex outline around the pixels' corners."""
    from scipy.spatial import ConvexHull  # noqa: PLC0415 -- half a second
    from scipy.spatial.distance import pdist  # noqa: PLC0415

    pixels = np.argwhere(mask)
    to_corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    corners = (pixels[:, None] + to_corners).reshape(-1, 2)
    scaled = np.unique(corners, axis=0) * spacing
    outline = scaled[ConvexHull(scaled).vertices]
    edges = np.roll(outline, -1, axis=0) - outline
    normals = np.stack([-edges[:, 1], edges[:, 0]]) / np.linalg.norm(edges, axis=1)
    widths = np.ptp(outline @ normals, axis=0)  # the narrowest is flush with an edge
    return float(pdist(outline).max()), float(widths.min())
