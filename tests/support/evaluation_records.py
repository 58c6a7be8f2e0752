"""Evaluation records with chosen values, for tests of what is made from rows."""

import math
from typing import Any

from evaluation import EvaluationRecord


def make_record(**values: Any) -> EvaluationRecord:
    """Return a record of a good answer; `values` replace what a test is about."""
    defaults = {
        "model": "a_model",
        "protocol": "published_click",
        "source": "a_source",
        "key": "a_source__0",
        "object_index": 0,
        "category": "nodule",
        "organ": "thyroid",
        "subject": "somebody",
        "subject_is_known": True,
        "split": "test",
        "image_rows": 100,
        "image_columns": 100,
        "spacing_row_millimetres": math.nan,
        "spacing_column_millimetres": math.nan,
        "num_components": 1,
        "reference_pixels": 100,
        "predicted_pixels": 100,
        "intersection_pixels": 90,
        "dice": 0.9,
        "iou": 90 / 110,
        "hd95_pixels": 1.0,
        "hd95_millimetres": math.nan,
        "average_surface_distance_pixels": 0.5,
        "average_surface_distance_millimetres": math.nan,
        "normalised_surface_dice": 1.0,
        "normalised_surface_dice_millimetres": math.nan,
        "surface_tolerance_pixels": 2.0,
        "surface_tolerance_millimetres": 1.0,
        "image_diagonal_pixels": math.hypot(100, 100),
        "is_detected": True,
        "detection_iou": 0.5,
    }
    return EvaluationRecord(**(defaults | values))
