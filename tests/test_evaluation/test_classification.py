import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from evaluation import (
    BootstrapOptions,
    ClassifiedImages,
    classification_differences,
    classification_intervals,
)
from evaluation.classification import weighted_scores


def classified(*, num_classes: int, skill: float, seed: int = 0) -> ClassifiedImages:
    generator = np.random.default_rng(seed)
    labels = np.random.default_rng(1).integers(num_classes, size=60)
    logits = generator.normal(size=(60, num_classes)).round(1)  # rounded, so that some scores tie
    logits[np.arange(60), labels] += skill
    odds = np.exp(logits)
    return ClassifiedImages(
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        labels=labels,
        subjects=[f"subject-{row // 3}" for row in range(60)],
    )


@pytest.mark.parametrize("num_classes", [2, 4])
def test_scores_are_those_of_scikit_learn(num_classes: int) -> None:
    images = classified(num_classes=num_classes, skill=1.0)
    found = {name: one.mean for name, one in classification_intervals(images).items()}
    answers = images.probabilities.argmax(axis=1)
    chances = images.probabilities
    areas = [roc_auc_score(images.labels == one, chances[:, one]) for one in range(num_classes)]
    assert found == pytest.approx(
        {
            "macro_f1": f1_score(images.labels, answers, average="macro"),
            "balanced_accuracy": balanced_accuracy_score(images.labels, answers),
            "auroc": np.mean(areas),
        }
    )


def test_a_weight_counts_a_row_as_often_as_its_copies_would() -> None:
    images = classified(num_classes=3, skill=0.5)
    times = np.random.default_rng(2).integers(0, 4, size=60)
    copies = np.repeat(np.arange(60), times)
    repeated = ClassifiedImages(
        probabilities=images.probabilities[copies],
        labels=images.labels[copies],
        subjects=[images.subjects[int(row)] for row in copies],
    )
    weighted = weighted_scores(images, weights=times[None].astype(np.float64))
    plain = weighted_scores(repeated, weights=np.ones((1, len(copies))))
    for name, values in plain.items():
        np.testing.assert_allclose(weighted[name], values)


def test_a_class_without_a_row_in_a_draw_is_left_out_of_the_means() -> None:
    images = classified(num_classes=3, skill=3.0)
    weights = (images.labels != 2)[None].astype(np.float64)
    scores = weighted_scores(images, weights=weights)
    assert all(np.isfinite(values).all() for values in scores.values())


def test_intervals_hold_the_score_and_shrink_with_more_subjects() -> None:
    images = classified(num_classes=3, skill=1.0)
    one_each = ClassifiedImages(
        probabilities=images.probabilities,
        labels=images.labels,
        subjects=[str(row) for row in range(60)],
    )
    few = ClassifiedImages(
        probabilities=images.probabilities,
        labels=images.labels,
        subjects=[str(row // 20) for row in range(60)],
    )
    interval = classification_intervals(one_each)["auroc"]
    assert interval.lower < interval.mean < interval.upper
    assert (interval.num_rows, interval.num_subjects) == (60, 60)
    alone = classification_intervals(few, options=BootstrapOptions(num_resamples=0))["auroc"]
    assert np.isnan(alone.lower)


def test_a_difference_is_paired_and_of_one_order() -> None:
    good, poor = classified(num_classes=3, skill=3.0), classified(num_classes=3, skill=0.3)
    found = classification_differences(good, reference=poor)["macro_f1"]
    assert 0 < found.lower < found.mean < found.upper
    same = classification_differences(good, reference=good)["macro_f1"]
    assert (same.lower, same.mean, same.upper) == (0.0, 0.0, 0.0)
    other = ClassifiedImages(
        probabilities=poor.probabilities, labels=poor.labels, subjects=poor.subjects[::-1]
    )
    with pytest.raises(ValueError, match="same images"):
        classification_differences(good, reference=other)
