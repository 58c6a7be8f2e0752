import math

import numpy as np
import pytest

from evaluation.overlap import count_overlap


def masks(predicted, reference):
    return np.array(predicted, dtype=bool), np.array(reference, dtype=bool)


def test_half_overlapping_masks_have_the_scores_computed_by_hand():
    predicted, reference = masks([[1, 1, 0, 0]], [[0, 1, 1, 0]])
    counts = count_overlap(predicted, reference=reference)
    assert (counts.predicted_pixels, counts.reference_pixels, counts.intersection_pixels) == (
        2,
        2,
        1,
    )
    assert counts.dice == pytest.approx(0.5)
    assert counts.iou == pytest.approx(1 / 3)


def test_two_empty_masks_have_no_score():
    predicted, reference = masks([[0, 0]], [[0, 0]])
    counts = count_overlap(predicted, reference=reference)
    assert math.isnan(counts.dice)
    assert math.isnan(counts.iou)


@pytest.mark.parametrize(
    ("predicted", "reference"), [([[0, 0]], [[1, 0]]), ([[1, 0]], [[0, 0]])], ids=["miss", "extra"]
)
def test_one_empty_mask_scores_zero(predicted, reference):
    predicted_mask, reference_mask = masks(predicted, reference)
    counts = count_overlap(predicted_mask, reference=reference_mask)
    assert counts.dice == 0.0
    assert counts.iou == 0.0
