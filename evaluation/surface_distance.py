"""Distances between the boundaries of a predicted and a reference mask.

The boundary of a mask is the mask minus its erosion by the 4-neighbourhood; what lies outside the
image counts as background, so that a mask cut by the image's edge has its boundary there. Distances
run between pixel centres, in pixels or in the unit of the spacing.

Axis names used in this file:
    row       image rows, in pixels
    column    image columns, in pixels
    predicted_boundary, reference_boundary  boundary pixels of a mask, in raster order
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float

PIXEL_SPACING = (1.0, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurfaceDistances:
    """The three distance measures of one pair of masks, in the unit of the spacing.

    Where exactly one of the masks is empty, the model missed or invented the structure: both
    distances are the length that the caller gives for a miss, and no part of a surface is within
    the tolerance. A NaN that fell out of a mean would make a model better by missing more. Where
    both are empty there is nothing to measure, and all three are NaN.
    """

    hausdorff_95: float
    """Larger of the two directed 95th percentiles, interpolated linearly between ranks."""

    average: float
    """Mean over the boundary pixels of both masks (average symmetric surface distance)."""

    share_within_tolerance: float
    """Normalised surface Dice: share of both boundaries within the tolerance of the other."""


def boundary_pixels(
    mask: Bool[np.ndarray, "row column"],
) -> Bool[np.ndarray, "row column"]:
    """Return the mask's boundary: its pixels with a 4-neighbour outside of it."""
    padded = np.pad(mask, 1)
    has_all_neighbours = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~has_all_neighbours


def directed_boundary_distances(
    predicted: Bool[np.ndarray, "row column"],
    *,
    reference: Bool[np.ndarray, "row column"],
    spacing: tuple[float, float] = PIXEL_SPACING,
) -> tuple[Float[np.ndarray, " predicted_boundary"], Float[np.ndarray, " reference_boundary"]]:
    """Return the distance of each predicted boundary pixel to the reference's, and the reverse.

    Both masks must hold something. The nearest pixels are found by exact search trees over the
    boundaries, so that the image's size costs nothing.

    Args:
        predicted: What the model calls foreground.
        reference: What the annotator drew, on the same pixel grid.
        spacing: Height and width of a pixel.
    """
    from scipy.spatial import KDTree  # noqa: PLC0415

    predicted_places = np.argwhere(boundary_pixels(predicted)) * np.array(spacing)
    reference_places = np.argwhere(boundary_pixels(reference)) * np.array(spacing)
    to_reference, _ = KDTree(reference_places).query(predicted_places)
    to_predicted, _ = KDTree(predicted_places).query(reference_places)
    return np.asarray(to_reference), np.asarray(to_predicted)


def measure_surface_distances(
    predicted: Bool[np.ndarray, "row column"],
    *,
    reference: Bool[np.ndarray, "row column"],
    tolerance: float,
    distance_of_a_miss: float,
    spacing: tuple[float, float] = PIXEL_SPACING,
) -> SurfaceDistances:
    """Measure how far apart the two masks' boundaries are.

    Args:
        predicted: What the model calls foreground.
        reference: What the annotator drew, on the same pixel grid.
        tolerance: Distance up to which a boundary pixel counts as right, in the spacing's unit.
        distance_of_a_miss: What both distances are where exactly one mask is empty; the image's
            diagonal, which no distance within the image exceeds.
        spacing: Height and width of a pixel.
    """
    if not predicted.any() and not reference.any():
        return SurfaceDistances(
            hausdorff_95=math.nan, average=math.nan, share_within_tolerance=math.nan
        )
    if not predicted.any() or not reference.any():
        return SurfaceDistances(
            hausdorff_95=distance_of_a_miss, average=distance_of_a_miss, share_within_tolerance=0.0
        )
    forth, back = directed_boundary_distances(predicted, reference=reference, spacing=spacing)
    both = np.concatenate([forth, back])
    return SurfaceDistances(
        hausdorff_95=float(max(np.percentile(forth, 95), np.percentile(back, 95))),
        average=float(both.mean()),
        share_within_tolerance=float((both <= tolerance).mean()),
    )


def image_diagonal(
    shape: tuple[int, int], *, spacing: tuple[float, float] = PIXEL_SPACING
) -> float:
    """Return the length of the image's diagonal, outer edge to outer edge."""
    return math.hypot(shape[0] * spacing[0], shape[1] * spacing[1])
