import math

import pytest

from evaluation.registry.promotion import decide_promotion
from tests.support.evaluation_records import make_record


def rows(dice_scores, *, subjects=None):
    names = subjects or [f"subject-{index}" for index in range(len(dice_scores))]
    return [
        make_record(key=f"a_source__{index}", dice=dice, subject=subject)
        for index, (dice, subject) in enumerate(zip(dice_scores, names, strict=True))
    ]


CHAMPION = [0.7, 0.8, 0.75, 0.9, 0.6, 0.85]


def test_better_on_every_subject_becomes_champion():
    better = [dice + 0.05 for dice in CHAMPION]
    promotion = decide_promotion(rows(better), rows(CHAMPION), champion="3")
    assert promotion.is_champion
    assert promotion.reason.startswith("beats version 3: mean Dice difference +0.0500")


@pytest.mark.parametrize(
    "dice_scores", [CHAMPION, [0.9, 0.7, 0.9, 0.8, 0.75, 0.75], [dice - 0.1 for dice in CHAMPION]]
)
def test_equal_uncertain_or_worse_stays_a_plain_version(dice_scores):
    promotion = decide_promotion(rows(dice_scores), rows(CHAMPION), champion="3")
    assert not promotion.is_champion
    assert "the lower bound must be above 0" in promotion.reason


def test_one_subject_cannot_make_a_champion():
    subjects = ["the only one"] * 6
    better = rows([1.0] * 6, subjects=subjects)
    promotion = decide_promotion(better, rows(CHAMPION, subjects=subjects), champion="1")
    assert not promotion.is_champion
    assert "at least two subjects" in promotion.reason


def test_rows_about_other_objects_are_not_compared():
    promotion = decide_promotion(rows([0.99] * 7), rows(CHAMPION), champion="1")
    assert not promotion.is_champion
    assert "1 objects have one row only" in promotion.reason


def test_a_model_that_finds_nothing_is_counted_as_zero_not_left_out():
    promotion = decide_promotion(rows([0.0] * 6), rows(CHAMPION), champion="1")
    assert math.isclose(sum(CHAMPION) / 6, 0.7666666, rel_tol=1e-4)
    assert "mean Dice difference -0.7667" in promotion.reason
