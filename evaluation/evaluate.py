"""Ask a model about every object of a corpus, and score the answers.

Batches are cut from the corpus's own order and dealt to the ranks whole, so that the numbers do not
depend, bit for bit, on how many ranks there are. Nothing here is collective: each rank returns its
rows, and the caller joins them with `gather_records`.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from shards import Corpus, UltrasoundSample

from .config import DEFAULT_SCORING, ScoringOptions
from .image_prompt import ImagePrompt
from .predictor import Predictor, threshold_logits
from .protocols import AUTOMATIC_PROTOCOL, object_generator, protocol_named
from .records import WHOLE_CATEGORY, EvaluationRecord
from .scoring import Question, score_answer


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How a corpus is gone through, whatever the model and the protocol."""

    images_per_batch: int = 8
    """Images read and predicted at once; the unit that is dealt to the ranks."""

    seed: int = 0
    """Of protocols that draw at random."""

    categories: tuple[str, ...] = ()
    """Ask about these only; empty asks about all that the sources annotate."""

    max_images: int | None = None
    """Look at this many images, spread evenly over the corpus; None looks at all."""

    scoring: ScoringOptions = DEFAULT_SCORING


DEFAULT_OPTIONS = EvaluationOptions()


@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenAnswer:
    """What a model says to one question."""

    mask: np.ndarray
    """Bool, "row column", on the original grid."""

    presence_logit: float = math.nan
    """Whether the category is in the image at all, above 0 for yes; NaN for no word on it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What is asked of whom: the fixed part of every question."""

    protocol: str
    model_name: str
    split: str
    annotated: dict[str, tuple[str, ...]]
    """Categories to ask about, by source."""

    corpus_hash: str
    seed: int

    @property
    def is_automatic(self) -> bool:
        """Whether the questions are categories rather than objects."""
        return self.protocol == AUTOMATIC_PROTOCOL


def evaluate_corpus(  # noqa: PLR0913 -- who asks whom about what; the rest is in `options`
    predictor: Predictor,
    corpus: Corpus,
    *,
    protocol: str,
    model_name: str,
    rank: int = 0,
    num_ranks: int = 1,
    progress: bool = True,
    before_batch: Callable[[], None] = lambda: None,
    options: EvaluationOptions = DEFAULT_OPTIONS,
) -> list[EvaluationRecord]:
    """Return one record for each object (or category) of this rank's share of the corpus.

    Args:
        predictor: The model.
        corpus: Images with references; every image is decoded once and encoded once.
        protocol: A key of `PROTOCOLS`, or `automatic` for a model without prompts.
        model_name: Name under which the rows are compared with others.
        rank: Which share of the batches is measured here.
        num_ranks: How many shares there are.
        progress: Show a progress bar where the error stream is a terminal.
        before_batch: Called before each batch, equally often on every rank, so that it may be
            collective. What it raises ends the evaluation.
        options: Batch size, seed, choice of categories, tolerances.

    Raises:
        ValueError: The protocol does not fit the model, the model does not know a category, or the
            corpus holds nothing to ask about.
        NonFiniteLogitsError: The model answers an image with NaN or infinity.
    """
    plan = plan_questions(
        predictor, corpus, protocol=protocol, model_name=model_name, options=options
    )
    batches = list(_batches_of_rank(corpus.num_samples, options, rank=rank, num_ranks=num_ranks))
    bar = tqdm(
        total=sum(len(batch) for batch in batches),
        desc=f"evaluating {model_name} ({protocol})",
        unit="image",
        disable=None if progress else True,
    )
    records: list[EvaluationRecord] = []
    with bar:
        for batch in batches:
            before_batch()
            samples = [corpus.read_flat(index) for index in batch]
            questions = [
                questions_about(sample, plan=plan, position=position)
                for position, sample in zip(batch, samples, strict=True)
            ]
            answers = answer_questions(predictor, samples, questions=questions, plan=plan)
            for sample, asked, given in zip(samples, questions, answers, strict=True):
                records += [
                    score_answer(
                        answer.mask,
                        question=question,
                        sample=sample,
                        options=options.scoring,
                        presence_logit=answer.presence_logit,
                    )
                    for question, answer in zip(asked, given, strict=True)
                ]
            bar.update(len(batch))
    return records


def plan_questions(
    predictor: Predictor,
    corpus: Corpus,
    *,
    protocol: str,
    model_name: str,
    options: EvaluationOptions,
) -> EvaluationPlan:
    """Refuse, before anything is computed, what could not be answered or not be scored."""
    annotated = {
        source.name: tuple(
            category
            for category in source.categories
            if not options.categories or category in options.categories
        )
        for source in corpus.manifest.sources
    }
    if predictor.is_automatic != (protocol == AUTOMATIC_PROTOCOL):
        kind = "takes no prompts" if predictor.is_automatic else "takes prompts"
        fit = AUTOMATIC_PROTOCOL if predictor.is_automatic else "published_click"
        raise ValueError(
            f"protocols: {protocol!r} does not fit {model_name}, which {kind}. "
            f"Use protocols=[{fit}]."
        )
    if predictor.is_automatic:
        _refuse_unknown_categories(predictor, corpus, annotated, model_name=model_name)
    else:
        protocol_named(protocol)
    _refuse_nothing_to_ask(predictor, corpus, annotated)
    return EvaluationPlan(
        protocol=protocol,
        model_name=model_name,
        split=corpus.manifest.split,
        annotated=annotated,
        corpus_hash=corpus.manifest.content_hash,
        seed=options.seed,
    )


def questions_about(
    sample: UltrasoundSample, *, plan: EvaluationPlan, position: int
) -> list[Question]:
    """Return what is asked about an image: its objects, or its source's categories.

    Args:
        sample: The image.
        plan: The fixed part of every question.
        position: Place of the image in its corpus.
    """
    asked = plan.annotated[sample.origin.source]
    if plan.is_automatic:
        return [
            _question_of_category(sample, category=category, plan=plan, position=position)
            for category in asked
        ]
    return [
        Question(
            model=plan.model_name,
            protocol=plan.protocol,
            split=plan.split,
            object_index=index,
            category=target.category,
            organ=target.organ,
            num_components=target.num_components,
            reference=target.mask(),
            corpus_hash=plan.corpus_hash,
            image_position=position,
        )
        for index, target in enumerate(sample.objects)
        if target.category in asked
    ]


def answer_questions(
    predictor: Predictor,
    samples: Sequence[UltrasoundSample],
    *,
    questions: Sequence[Sequence[Question]],
    plan: EvaluationPlan,
) -> list[list[GivenAnswer]]:
    """Return the answer to every question, in the order asked.

    Raises:
        NonFiniteLogitsError: The predictor answers an image with NaN or infinity.
    """
    if plan.is_automatic:
        return _answers_by_category(predictor, samples, questions=questions, plan=plan)
    prompts = [
        [draw_prompt(sample, question=question, seed=plan.seed) for question in asked]
        for sample, asked in zip(samples, questions, strict=True)
    ]
    logits = predictor.predict([sample.image for sample in samples], prompts)
    return [
        [GivenAnswer(mask=mask) for mask in _masks(of_image, sample=sample, plan=plan)]
        for of_image, sample in zip(logits, samples, strict=True)
    ]


def draw_prompt(sample: UltrasoundSample, *, question: Question, seed: int) -> ImagePrompt:
    """Return the prompt of one question; the same whenever it is asked again."""
    generator = object_generator(seed=seed, key=sample.key, object_index=question.object_index)
    try:
        return protocol_named(question.protocol)(question.reference, generator)
    except ValueError as error:
        raise ValueError(f"{sample.key}, object {question.object_index}: {error}") from error


def _answers_by_category(
    predictor: Predictor,
    samples: Sequence[UltrasoundSample],
    *,
    questions: Sequence[Sequence[Question]],
    plan: EvaluationPlan,
) -> list[list[GivenAnswer]]:
    rows = {category: row for row, category in enumerate(predictor.categories)}
    given = predictor.predict_automatic([sample.image for sample in samples])
    answers: list[list[GivenAnswer]] = []
    for of_image, sample, asked in zip(given, samples, questions, strict=True):
        masks = _masks(of_image.logits, sample=sample, plan=plan)
        presence = [math.nan] * len(rows)
        if of_image.presence_logits is not None:
            presence = of_image.presence_logits.tolist()
        places = [rows[question.category] for question in asked]
        answers.append([GivenAnswer(mask=masks[at], presence_logit=presence[at]) for at in places])
    return answers


def _masks(logits: np.ndarray, *, sample: UltrasoundSample, plan: EvaluationPlan) -> np.ndarray:
    return threshold_logits(logits, image=sample.key, model=plan.model_name)


def _batches_of_rank(
    num_samples: int, options: EvaluationOptions, *, rank: int, num_ranks: int
) -> Iterator[list[int]]:
    """Yield this rank's batch of each round; in the last round some ranks have an empty one."""
    num_images = min(num_samples, options.max_images or num_samples)
    chosen = [index * num_samples // num_images for index in range(num_images)]
    size = options.images_per_batch
    for first in range(0, math.ceil(num_images / size), num_ranks):
        start = (first + rank) * size
        yield chosen[start : start + size]


def _question_of_category(
    sample: UltrasoundSample, *, category: str, plan: EvaluationPlan, position: int
) -> Question:
    """Return the question for all objects of a category together; there may be none."""
    targets = [target for target in sample.objects if target.category == category]
    reference = np.zeros(sample.image.shape[:2], dtype=bool)
    for target in targets:
        reference |= target.mask()
    return Question(
        model=plan.model_name,
        protocol=plan.protocol,
        split=plan.split,
        object_index=WHOLE_CATEGORY,
        category=category,
        organ=targets[0].organ if targets else "",
        num_components=sum(target.num_components for target in targets),
        reference=reference,
        corpus_hash=plan.corpus_hash,
        image_position=position,
    )


def _refuse_unknown_categories(
    predictor: Predictor,
    corpus: Corpus,
    annotated: dict[str, tuple[str, ...]],
    *,
    model_name: str,
) -> None:
    asked = {category for of_source in annotated.values() for category in of_source}
    unknown = sorted(asked - set(predictor.categories))
    if unknown:
        raise ValueError(
            f"{corpus.url}: annotates {', '.join(unknown)}, which {model_name} does not know; it "
            f"knows {', '.join(predictor.categories)}. Ask about those only with categories=[...]."
        )


def _refuse_nothing_to_ask(
    predictor: Predictor, corpus: Corpus, annotated: dict[str, tuple[str, ...]]
) -> None:
    """Refuse a corpus without questions; only an automatic model can be asked about no object."""
    has_questions = corpus.num_samples > 0 and (
        predictor.is_automatic or corpus.manifest.num_objects > 0
    )
    if not has_questions or not any(annotated.values()):
        known = sorted({name for source in corpus.manifest.sources for name in source.categories})
        raise ValueError(
            f"{corpus.url}: no object to evaluate in {corpus.num_samples} images "
            f"({corpus.manifest.num_objects} objects; annotated: {', '.join(known) or 'nothing'}). "
            "Give a split that has some, or other categories=[...]."
        )
