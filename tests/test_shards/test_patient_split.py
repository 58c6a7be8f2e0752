from collections import Counter

import pytest

from shards.patient_split import split_of_subject

FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.2}


def test_subjects_fall_into_the_splits_in_the_asked_shares():
    splits = Counter(
        split_of_subject("toy", subject=str(number), seed=0, **FRACTIONS) for number in range(4000)
    )
    assert splits["test"] / 4000 == pytest.approx(0.2, abs=0.02)
    assert splits["validation"] / 4000 == pytest.approx(0.1, abs=0.02)


def test_a_subject_keeps_its_split_and_another_seed_draws_anew():
    def draw(seed):
        return [
            split_of_subject("toy", subject=str(number), seed=seed, **FRACTIONS)
            for number in range(100)
        ]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_without_held_out_shares_everything_is_for_training():
    splits = {
        split_of_subject(
            "toy", subject=str(number), seed=0, validation_fraction=0.0, test_fraction=0.0
        )
        for number in range(100)
    }
    assert splits == {"train"}
