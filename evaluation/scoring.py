"""One evaluation record from one pair of masks.

Axis names used in this file:
    row, column  of the original image
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool

from shards import UltrasoundSample

from .config import DEFAULT_SCORING, ScoringOptions
from .overlap import count_overlap
from .records import EvaluationRecord
from .surface_distance import SurfaceDistances, image_diagonal, measure_surface_distances


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What a model was asked, and the reference that its answer is held against."""

    model: str
    protocol: str
    tier: str
    split: str
    object_index: int
    category: str
    organ: str
    num_components: int
    reference: Bool[np.ndarray, "row column"]
    corpus_hash: str = ""
    image_position: int = -1


def score_answer(
    predicted: Bool[np.ndarray, "row column"],
    *,
    question: Question,
    sample: UltrasoundSample,
    options: ScoringOptions = DEFAULT_SCORING,
    presence_logit: float = math.nan,
) -> EvaluationRecord:
    """Return the record of one answer.

    Args:
        predicted: The answer on the original grid, after thresholding.
        question: What was asked, and the reference.
        sample: The image that it was asked about.
        options: Tolerances and the threshold of detection.
        presence_logit: What the model says about the category being there at all; NaN for nothing.
    """
    reference, origin = question.reference, sample.origin
    overlap = count_overlap(predicted, reference=reference)
    shape = (reference.shape[0], reference.shape[1])
    pixels = measure_surface_distances(
        predicted,
        reference=reference,
        tolerance=options.surface_tolerance_pixels,
        distance_of_a_miss=image_diagonal(shape),
    )
    spacing = origin.spacing_millimetres or (math.nan, math.nan)
    millimetres = _in_millimetres(predicted, reference, sample=sample, options=options)
    return EvaluationRecord(
        model=question.model,
        protocol=question.protocol,
        source=origin.source,
        key=sample.key,
        object_index=question.object_index,
        category=question.category,
        organ=question.organ,
        subject=origin.subject,
        subject_is_known=origin.subject_is_known,
        split=question.split,
        image_rows=shape[0],
        image_columns=shape[1],
        spacing_row_millimetres=spacing[0],
        spacing_column_millimetres=spacing[1],
        num_components=question.num_components,
        reference_pixels=overlap.reference_pixels,
        predicted_pixels=overlap.predicted_pixels,
        intersection_pixels=overlap.intersection_pixels,
        dice=overlap.dice,
        iou=overlap.iou,
        hd95_pixels=pixels.hausdorff_95,
        hd95_millimetres=millimetres.hausdorff_95,
        average_surface_distance_pixels=pixels.average,
        average_surface_distance_millimetres=millimetres.average,
        normalised_surface_dice=pixels.share_within_tolerance,
        normalised_surface_dice_millimetres=millimetres.share_within_tolerance,
        surface_tolerance_pixels=options.surface_tolerance_pixels,
        surface_tolerance_millimetres=options.surface_tolerance_millimetres,
        image_diagonal_pixels=image_diagonal(shape),
        is_detected=overlap.reference_pixels > 0 and overlap.iou >= options.detection_iou,
        detection_iou=options.detection_iou,
        corpus_hash=question.corpus_hash,
        image_position=question.image_position,
        presence_logit=presence_logit,
        tier=question.tier,
    )


def _in_millimetres(
    predicted: Bool[np.ndarray, "row column"],
    reference: Bool[np.ndarray, "row column"],
    *,
    sample: UltrasoundSample,
    options: ScoringOptions,
) -> SurfaceDistances:
    spacing = sample.origin.spacing_millimetres
    if spacing is None:
        return SurfaceDistances(
            hausdorff_95=math.nan, average=math.nan, share_within_tolerance=math.nan
        )
    shape = (reference.shape[0], reference.shape[1])
    return measure_surface_distances(
        predicted,
        reference=reference,
        tolerance=options.surface_tolerance_millimetres,
        distance_of_a_miss=image_diagonal(shape, spacing=spacing),
        spacing=spacing,
    )
