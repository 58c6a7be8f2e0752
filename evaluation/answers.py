"""What a model answers to the questions about some images, under every kind of protocol.

Axis names used in this file:
    category     of a model, in its own order
    row, column  of the original image
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from shards import UltrasoundSample

from .image_prompt import ImagePrompt
from .predictor import Predictor, threshold_logits
from .protocols import (
    CLICKS_PROTOCOL,
    DETECTOR_PROTOCOL,
    LABEL_MAP,
    MOST_CLICKS,
    boxes_around,
    next_click,
    object_generator,
    protocol_named,
    rows_after,
)
from .questions import EvaluationPlan, question_of_category, questions_about
from .scoring import Question

NOT_FOUND = -1
"""In a label map: no category."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GivenAnswer:
    """What a model says to one question."""

    mask: Bool[np.ndarray, "row column"]
    logits: Float[np.ndarray, "row column"]
    presence_logit: float = math.nan
    """Whether the category is in the image at all, above 0 for yes; NaN for no word on it."""

    prompt: ImagePrompt | None = None
    """What the model was told; None for an answer to no prompt or to several."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AnsweredQuestion:
    """A question about an image, and its answer."""

    sample: UltrasoundSample
    question: Question
    answer: GivenAnswer


def ask(
    predictor: Predictor,
    samples: Sequence[UltrasoundSample],
    *,
    positions: Sequence[int],
    plan: EvaluationPlan,
) -> Iterator[AnsweredQuestion]:
    """Yield every question about some images with its answer, all that become rows.

    Raises:
        NonFiniteLogitsError: The predictor answers an image with NaN or infinity.
    """
    questions = [
        questions_about(sample, plan=plan, position=position)
        for position, sample in zip(positions, samples, strict=True)
    ]
    if plan.is_by_category:
        for sample, asked, given in zip(
            samples, questions, _answers_by_category(predictor, samples, plan=plan), strict=True
        ):
            for question in asked:
                yield AnsweredQuestion(
                    sample=sample, question=question, answer=given[question.category]
                )
            if plan.label_maps:
                yield from _label_map_rows(sample, given, asked=asked, plan=plan)
        return
    for protocol, answers in _rounds(predictor, samples, questions=questions, plan=plan):
        for sample, asked, given in zip(samples, questions, answers, strict=True):
            for question, answer in zip(asked, given, strict=True):
                named = dataclasses.replace(question, protocol=protocol)
                yield AnsweredQuestion(sample=sample, question=named, answer=answer)
            if plan.label_maps and asked:
                named_plan = dataclasses.replace(plan, protocol=protocol)
                merged = _merged_by_category(asked, given)
                yield from _label_map_rows(sample, merged, asked=asked, plan=named_plan)


def answer_questions(
    predictor: Predictor,
    samples: Sequence[UltrasoundSample],
    *,
    questions: Sequence[Sequence[Question]],
    plan: EvaluationPlan,
) -> list[list[GivenAnswer]]:
    """Return the answer to every question, in the order asked; of several clicks, to the first.

    Raises:
        NonFiniteLogitsError: The predictor answers an image with NaN or infinity.
    """
    if plan.is_by_category:
        by_image = _answers_by_category(predictor, samples, plan=plan)
        return [
            [given[question.category] for question in asked]
            for given, asked in zip(by_image, questions, strict=True)
        ]
    return next(_rounds(predictor, samples, questions=questions, plan=plan))[1]


def label_map(
    logits: Float[np.ndarray, "category row column"],
) -> Int[np.ndarray, "row column"]:
    """Return the category of each pixel: that of the highest logit above 0, else `NOT_FOUND`."""
    return np.where((logits > 0).any(axis=0), logits.argmax(axis=0), NOT_FOUND)


def _rounds(
    predictor: Predictor,
    samples: Sequence[UltrasoundSample],
    *,
    questions: Sequence[Sequence[Question]],
    plan: EvaluationPlan,
) -> Iterator[tuple[str, list[list[GivenAnswer]]]]:
    """Yield the protocol of the rows and the answers: once, or after each click."""
    prompts = [
        [_first_prompt(sample, question, plan=plan) for question in asked]
        for sample, asked in zip(samples, questions, strict=True)
    ]
    if plan.protocol != CLICKS_PROTOCOL:
        yield plan.protocol, _answers_to(prompts, predictor, samples, plan=plan)
        return
    for num_clicks in range(1, MOST_CLICKS + 1):
        answers = _answers_to(prompts, predictor, samples, plan=plan)
        yield rows_after(num_clicks), answers
        prompts = [
            [
                next_click(prompt, answer=answer.mask, reference=question.reference)
                for prompt, answer, question in zip(*of_image, strict=True)
            ]
            for of_image in zip(prompts, answers, questions, strict=True)
        ]


def _first_prompt(
    sample: UltrasoundSample, question: Question, *, plan: EvaluationPlan
) -> ImagePrompt:
    """Return the prompt of one question; the same whenever it is asked again."""
    name = "centre_point" if plan.protocol == CLICKS_PROTOCOL else plan.protocol
    generator = object_generator(seed=plan.seed, key=sample.key, object_index=question.object_index)
    try:
        return protocol_named(name)(question.reference, generator)
    except ValueError as error:
        raise ValueError(f"{sample.key}, object {question.object_index}: {error}") from error


def _answers_to(
    prompts: Sequence[Sequence[ImagePrompt]],
    predictor: Predictor,
    samples: Sequence[UltrasoundSample],
    *,
    plan: EvaluationPlan,
) -> list[list[GivenAnswer]]:
    answers: list[list[GivenAnswer]] = []
    logits = predictor.predict([sample.image for sample in samples], prompts)
    for of_image, told, sample in zip(logits, prompts, samples, strict=True):
        masks = threshold_logits(of_image, image=sample.key, model=plan.model_name)
        answers.append(
            [
                GivenAnswer(mask=mask, logits=one, prompt=prompt)
                for mask, one, prompt in zip(masks, of_image, told, strict=True)
            ]
        )
    return answers


def _answers_by_category(
    predictor: Predictor, samples: Sequence[UltrasoundSample], *, plan: EvaluationPlan
) -> list[dict[str, GivenAnswer]]:
    """Return the answer about every category that the model (or the detector) knows, by image."""
    if plan.protocol == DETECTOR_PROTOCOL:
        return _answers_to_detected_boxes(predictor, samples, plan=plan)
    answers: list[dict[str, GivenAnswer]] = []
    given = predictor.predict_automatic([sample.image for sample in samples])
    for of_image, sample in zip(given, samples, strict=True):
        masks = threshold_logits(of_image.logits, image=sample.key, model=plan.model_name)
        presence = [math.nan] * len(masks)
        if of_image.presence_logits is not None:
            presence = of_image.presence_logits.tolist()
        answers.append(
            {
                category: GivenAnswer(mask=mask, logits=logits, presence_logit=judged)
                for category, mask, logits, judged in zip(
                    predictor.categories, masks, of_image.logits, presence, strict=True
                )
            }
        )
    return answers


def _answers_to_detected_boxes(
    predictor: Predictor, samples: Sequence[UltrasoundSample], *, plan: EvaluationPlan
) -> list[dict[str, GivenAnswer]]:
    """Return, by category, the answers to the boxes around what the detector marks, united."""
    assert plan.detector is not None
    automatic = dataclasses.replace(plan, protocol="automatic", model_name="the detector")
    detected = _answers_by_category(plan.detector, samples, plan=automatic)
    boxes = [
        {category: boxes_around(found.mask) for category, found in of_image.items()}
        for of_image in detected
    ]
    prompts = [[box for some in of_image.values() for box in some] for of_image in boxes]
    answers: list[dict[str, GivenAnswer]] = []
    for of_image, found, given in zip(
        boxes, detected, _answers_to(prompts, predictor, samples, plan=plan), strict=True
    ):
        remaining = iter(given)
        united: dict[str, GivenAnswer] = {}
        for category, some in of_image.items():
            nothing = np.full(found[category].mask.shape, -1.0, dtype=np.float32)
            parts = [nothing, *(next(remaining).logits for _ in some)]
            united[category] = _united(parts, presence_logit=found[category].presence_logit)
        answers.append(united)
    return answers


def _merged_by_category(
    asked: Sequence[Question], given: Sequence[GivenAnswer]
) -> dict[str, GivenAnswer]:
    """Return the answers about objects, united by category."""
    parts: dict[str, list[np.ndarray]] = {}
    for question, answer in zip(asked, given, strict=True):
        parts.setdefault(question.category, []).append(answer.logits)
    return {category: _united(logits) for category, logits in parts.items()}


def _united(logits: Sequence[np.ndarray], *, presence_logit: float = math.nan) -> GivenAnswer:
    highest = np.max(np.stack(logits), axis=0)
    return GivenAnswer(mask=highest > 0, logits=highest, presence_logit=presence_logit)


def _label_map_rows(
    sample: UltrasoundSample,
    answers: Mapping[str, GivenAnswer],
    *,
    asked: Sequence[Question],
    plan: EvaluationPlan,
) -> Iterator[AnsweredQuestion]:
    """Yield each category asked about as the label map has it; all that was answered competes."""
    labels = label_map(np.stack([answer.logits for answer in answers.values()]))
    places = {category: place for place, category in enumerate(answers)}
    for category in dict.fromkeys(question.category for question in asked):
        question = question_of_category(
            sample, category=category, plan=plan, position=asked[0].image_position
        )
        answer = dataclasses.replace(
            answers[category], mask=labels == places[category], prompt=None
        )
        yield AnsweredQuestion(
            sample=sample,
            question=dataclasses.replace(question, protocol=plan.protocol + LABEL_MAP),
            answer=answer,
        )
