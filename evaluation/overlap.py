"""Overlap between a predicted and a reference mask, from raw counts.

Axis names used in this file:
    row     image rows, in pixels
    column  image columns, in pixels
"""

import dataclasses

import numpy as np
from jaxtyping import Bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverlapCounts:
    """Pixels of the two masks and of what they share; all overlap scores follow from them."""

    reference_pixels: int
    predicted_pixels: int
    intersection_pixels: int

    @property
    def dice(self) -> float:
        """Return the Dice score in [0, 1]; NaN where both masks are empty.

        Two empty masks have no overlap to measure. The caller has to decide between leaving such
        an image out and counting it, and the decision shows in the code.
        """
        total = self.reference_pixels + self.predicted_pixels
        return 2.0 * self.intersection_pixels / total if total else float("nan")

    @property
    def iou(self) -> float:
        """Return intersection over union in [0, 1]; NaN where both masks are empty."""
        union = self.reference_pixels + self.predicted_pixels - self.intersection_pixels
        return self.intersection_pixels / union if union else float("nan")


def count_overlap(
    predicted: Bool[np.ndarray, "row column"], *, reference: Bool[np.ndarray, "row column"]
) -> OverlapCounts:
    """Count the pixels of both masks and of their intersection.

    Args:
        predicted: What the model calls foreground, after thresholding.
        reference: What the annotator drew, on the same pixel grid.
    """
    return OverlapCounts(
        reference_pixels=int(np.count_nonzero(reference)),
        predicted_pixels=int(np.count_nonzero(predicted)),
        intersection_pixels=int(np.count_nonzero(predicted & reference)),
    )
