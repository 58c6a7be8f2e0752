"""How far the exported graphs are from the model that they were exported from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.confidence_intervals import bootstrap_difference
from evaluation.evaluate import EvaluationOptions, evaluate_corpus
from evaluation.image_prompt import ImagePrompt
from evaluation.predictor import CategoryAnswers, Predictor
from evaluation.records import EvaluationRecord
from shards import Corpus

NUM_LOGIT_IMAGES = 16
"""Held-out images, spread over the corpus, whose logits are compared value by value."""


@dataclass(frozen=True, kw_only=True)
class DiceChange:
    """Mean of the graphs' Dice minus the model's; two empty masks agree wholly, and count as 1."""

    mean: float
    lower: float | None
    """Of the interval over subjects; None where one subject says nothing about others."""

    num_objects: int

    @property
    def loss(self) -> float:
        """What may have been lost: the lower bound's word, or the mean's where there is none."""
        return -(self.mean if self.lower is None else self.lower)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Differences between graphs and model on held-out images."""

    num_objects: int
    mean_dice: float
    """Of the graphs, against the reference masks."""

    mean_dice_of_model: float
    mean_dice_difference: float
    """Mean over the objects of the absolute difference of the two Dice scores."""

    max_dice_difference: float
    """The largest of them."""

    max_logit_difference: float
    """Largest absolute difference of two logits on the original grid, on a few images."""

    num_logit_images: int
    dice_change: DiceChange
    dice_change_by_category: Mapping[str, DiceChange]


class _ComparingPredictor:
    """Answers as the candidate does, and keeps how far the reference's logits are from that."""

    def __init__(self, candidate: Predictor, reference: Predictor) -> None:
        self.max_difference = 0.0
        self.is_automatic = candidate.is_automatic
        self.categories = candidate.categories
        self._candidate, self._reference = candidate, reference

    def predict(
        self, images: Sequence[np.ndarray], prompts: Sequence[Sequence[ImagePrompt]]
    ) -> list[np.ndarray]:
        answers = self._candidate.predict(images, prompts)
        expected = self._reference.predict(images, prompts)
        return self._compare(answers, expected)

    def predict_automatic(self, images: Sequence[np.ndarray]) -> list[CategoryAnswers]:
        answers = self._candidate.predict_automatic(images)
        expected = self._reference.predict_automatic(images)
        self._compare([one.logits for one in answers], [one.logits for one in expected])
        return answers

    def _compare(
        self, answers: list[np.ndarray], expected: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        differences = [
            float(np.abs(answer - other).max())
            for answer, other in zip(answers, expected, strict=True)
            if answer.size
        ]
        self.max_difference = max([self.max_difference, *differences])
        return answers


def compare_with_model(
    graphs: Predictor,
    model: Predictor,
    corpus: Corpus,
    *,
    protocol: str,
    model_name: str,
    rows_of_model: Sequence[EvaluationRecord],
) -> tuple[Parity, list[EvaluationRecord]]:
    """Measure the graphs on the whole corpus; return how they differ, and their rows."""
    rows = evaluate_corpus(graphs, corpus, protocol=protocol, model_name=model_name)
    comparing = _ComparingPredictor(graphs, model)
    num_images = min(NUM_LOGIT_IMAGES, corpus.num_samples)
    evaluate_corpus(
        comparing,
        corpus,
        protocol=protocol,
        model_name=f"{model_name}, logits",
        options=EvaluationOptions(max_images=num_images),
    )
    parity = parity_of_rows(
        rows,
        rows_of_model,
        max_logit_difference=comparing.max_difference,
        num_logit_images=num_images,
    )
    return parity, rows


def parity_of_rows(
    rows: Sequence[EvaluationRecord],
    rows_of_model: Sequence[EvaluationRecord],
    *,
    max_logit_difference: float,
    num_logit_images: int,
) -> Parity:
    """Pair the rows by object and return the differences of their Dice scores."""
    dice_of_model = {row.identity[2:]: row.dice for row in rows_of_model}
    pairs = np.array([(row.dice, dice_of_model[row.identity[2:]]) for row in rows])
    # Two empty masks have no Dice; one empty mask beside a filled one is a full difference.
    both_empty = np.isnan(pairs).all(axis=1)
    differences = np.abs(np.nan_to_num(pairs[:, 0]) - np.nan_to_num(pairs[:, 1]))
    differences[np.isnan(pairs).any(axis=1) & ~both_empty] = 1.0
    return Parity(
        num_objects=len(rows),
        mean_dice=_mean(pairs[:, 0]),
        mean_dice_of_model=_mean(pairs[:, 1]),
        mean_dice_difference=float(differences.mean()),
        max_dice_difference=float(differences.max()),
        max_logit_difference=max_logit_difference,
        num_logit_images=num_logit_images,
        dice_change=_change(rows, pairs),
        dice_change_by_category={
            category: _change(
                [row for row in rows if row.category == category],
                pairs[[row.category == category for row in rows]],
            )
            for category in sorted({row.category for row in rows})
        },
    )


def _change(rows: Sequence[EvaluationRecord], pairs: np.ndarray) -> DiceChange:
    graphs, model = np.nan_to_num(pairs, nan=1.0).T
    subjects = [f"{row.source} {row.subject}" for row in rows]
    interval, _ = bootstrap_difference(graphs - model, subjects=subjects)
    lower = None if math.isnan(interval.lower) else interval.lower
    return DiceChange(mean=interval.mean, lower=lower, num_objects=len(rows))


def _mean(values: np.ndarray) -> float:
    measured = values[np.isfinite(values)]
    return float(measured.mean()) if measured.size else math.nan
