"""The best, the median and the worst cases, predicted once more so that they can be drawn."""

import dataclasses
import math
from collections.abc import Sequence

from evaluation.answers import ask
from evaluation.predictor import Predictor
from evaluation.protocols import CLICKS_PROTOCOL, LABEL_MAP, num_clicks_of
from evaluation.questions import EvaluationOptions, plan_questions
from evaluation.records import EvaluationRecord
from shards import Corpus

from .overlays import Answer

CASE_GROUPS = ("best", "median", "worst")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A row and the answer that it scores."""

    record: EvaluationRecord
    answer: Answer


def choose_cases(
    records: Sequence[EvaluationRecord], *, count: int
) -> dict[str, list[EvaluationRecord]]:
    """Return the rows of highest, middle and lowest Dice; each image is taken at most once.

    A small evaluation has fewer cases than asked for: worst ones are chosen first, then best, then
    median ones.
    """
    ranked = sorted(
        (record for record in records if not math.isnan(record.dice)),
        key=lambda record: (record.dice, record.identity),
    )
    middle = len(ranked) / 2 - 0.5
    orders = {
        "worst": ranked,
        "best": ranked[::-1],
        "median": [
            ranked[place]
            for place in sorted(range(len(ranked)), key=lambda place: abs(place - middle))
        ],
    }
    used: set[tuple[str, str]] = set()
    chosen: dict[str, list[EvaluationRecord]] = {}
    for group, order in orders.items():
        chosen[group] = []
        for record in order:
            image = (record.source, record.key)
            if len(chosen[group]) < count and image not in used:
                used.add(image)
                chosen[group].append(record)
    return {group: chosen[group] for group in CASE_GROUPS}


def predict_cases(
    records: Sequence[EvaluationRecord],
    *,
    predictor: Predictor,
    corpora: Sequence[Corpus],
    options: EvaluationOptions,
) -> list[Case]:
    """Ask the model about these rows again; the prompts are the same as when they were scored."""
    by_hash = {corpus.manifest.content_hash: corpus for corpus in corpora}
    return [
        predict_case(
            record, predictor=predictor, corpus=by_hash[record.corpus_hash], options=options
        )
        for record in records
    ]


def predict_case(
    record: EvaluationRecord,
    *,
    predictor: Predictor,
    corpus: Corpus,
    options: EvaluationOptions,
) -> Case:
    """Ask the model about one row again."""
    sample = corpus.read_flat(record.image_position)
    base = record.protocol.removesuffix(LABEL_MAP)
    plan = plan_questions(
        predictor,
        corpus,
        protocol=CLICKS_PROTOCOL if num_clicks_of(base) else base,
        model_name=record.model,
        options=options,
    )
    asked = next(
        one
        for one in ask(predictor, [sample], positions=[record.image_position], plan=plan)
        if (one.question.protocol, one.question.object_index, one.question.category)
        == (record.protocol, record.object_index, record.category)
    )
    answer = Answer(
        image=sample.image,
        reference=asked.question.reference,
        predicted=asked.answer.mask,
        prompt=asked.answer.prompt,
    )
    return Case(record=record, answer=answer)
