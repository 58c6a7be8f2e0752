"""Scores of a classifier of images, with intervals over subjects.

Macro F1, balanced accuracy and the area under the ROC curve are no means over rows, so whole
subjects are drawn and the score is computed anew on each draw, which weighs every row by how often
its subject was drawn. The intervals are the percentiles of these replicates.

Axis names used in this file:
    row        one classified image
    class      one class, in the order of the probabilities
    replicate  one draw of subjects
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from .confidence_intervals import Interval
from .config import DEFAULT_BOOTSTRAP, BootstrapOptions

CLASSIFICATION_SCORES = ("macro_f1", "balanced_accuracy", "auroc")

REPLICATES_AT_ONCE = 100


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassifiedImages:
    """What a classifier said about held-out images."""

    probabilities: Float[np.ndarray, "row class"]
    labels: Int[np.ndarray, " row"]
    """Index of the true class."""

    subjects: Sequence[str]


def classification_intervals(
    images: ClassifiedImages, *, options: BootstrapOptions = DEFAULT_BOOTSTRAP
) -> dict[str, Interval]:
    """Return the interval of every score of `CLASSIFICATION_SCORES`."""
    return {
        name: _interval(point[0], replicates=replicates, images=images, options=options)
        for name, (point, replicates) in _resampled(images, options=options).items()
    }


def classification_differences(
    images: ClassifiedImages,
    *,
    reference: ClassifiedImages,
    options: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> dict[str, Interval]:
    """Return scores minus a reference's on the same images, with the same draws for both."""
    if list(images.subjects) != list(reference.subjects):
        raise ValueError("The two classifiers were not asked about the same images in one order.")
    ours, theirs = (_resampled(one, options=options) for one in (images, reference))
    return {
        name: _interval(
            (ours[name][0] - theirs[name][0])[0],
            replicates=ours[name][1] - theirs[name][1],
            images=images,
            options=options,
        )
        for name in CLASSIFICATION_SCORES
    }


def weighted_scores(
    images: ClassifiedImages, *, weights: Float[np.ndarray, "replicate row"]
) -> dict[str, Float[np.ndarray, " replicate"]]:
    """Return the scores of several weightings of the same rows at once.

    Means over classes take the classes that have rows of positive weight. The AUROC is of each
    class against the rest (ties count half); with two classes both are the same number.
    """
    num_classes = images.probabilities.shape[1]
    pairs = images.labels * num_classes + images.probabilities.argmax(axis=1)
    confusion = (weights @ np.eye(num_classes**2)[pairs]).reshape(-1, num_classes, num_classes)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    true, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(true > 0, hits / true, np.nan)
        f1 = np.where(true + predicted > 0, 2 * hits / (true + predicted), np.nan)
    areas = np.stack(
        [
            _area_under_roc(
                images.probabilities[:, one], is_positive=images.labels == one, weights=weights
            )
            for one in range(num_classes)
        ],
        axis=1,
    )
    return {
        "macro_f1": _mean_of_known(f1),
        "balanced_accuracy": _mean_of_known(recall),
        "auroc": _mean_of_known(areas),
    }


def _area_under_roc(
    scores: Float[np.ndarray, " row"],
    *,
    is_positive: np.ndarray,
    weights: Float[np.ndarray, "replicate row"],
) -> Float[np.ndarray, " replicate"]:
    """Return the probability that a positive row scores above a negative one; NaN without both."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    ordered, positive = weights[:, order], is_positive[order]
    positives = np.add.reduceat(ordered * positive, starts, axis=1)
    negatives = np.add.reduceat(ordered * ~positive, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    won = (positives * (below + 0.5 * negatives)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, won / pairs, np.nan)


def _mean_of_known(
    values: Float[np.ndarray, "replicate class"],
) -> Float[np.ndarray, " replicate"]:
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)


def _resampled(
    images: ClassifiedImages, *, options: BootstrapOptions
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return score -> (its value, its replicates)."""
    point = weighted_scores(images, weights=np.ones((1, len(images.labels))))
    _, subject_of_row = np.unique(np.asarray(images.subjects), return_inverse=True)
    num_subjects = int(subject_of_row.max(initial=-1)) + 1
    generator = np.random.default_rng(options.seed)
    parts = []
    for start in range(0, options.num_resamples if num_subjects > 1 else 0, REPLICATES_AT_ONCE):
        size = min(REPLICATES_AT_ONCE, options.num_resamples - start)
        drawn = generator.multinomial(num_subjects, np.full(num_subjects, 1 / num_subjects), size)
        weights = drawn[:, subject_of_row].astype(np.float64)
        parts.append(weighted_scores(images, weights=weights))
    return {
        name: (point[name], np.concatenate([np.empty(0), *(part[name] for part in parts)]))
        for name in CLASSIFICATION_SCORES
    }


def _interval(
    value: float,
    *,
    replicates: Float[np.ndarray, " replicate"],
    images: ClassifiedImages,
    options: BootstrapOptions,
) -> Interval:
    known = replicates[np.isfinite(replicates)]
    tail = (1 - options.confidence) / 2
    lower, upper = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
    return Interval(
        mean=float(value),
        lower=float(lower),
        upper=float(upper),
        num_rows=len(images.labels),
        num_subjects=len(set(images.subjects)),
    )
