"""What is asked about the images of a corpus, and what could not be answered or not be scored."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from shards import Corpus, UltrasoundObject, UltrasoundSample

from .config import DEFAULT_SCORING, ScoringOptions
from .predictor import Predictor
from .protocols import (
    AUTOMATIC_PROTOCOL,
    CLICKS_PROTOCOL,
    DETECTOR_PROTOCOL,
    protocol_named,
)
from .records import WHOLE_CATEGORY
from .scoring import Question
from .training_tiers import NO_TIERS, CorpusTiers


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

    label_maps: bool = False
    """Also merge the answers about an image into one label map, and score that by category."""

    detector: Predictor | None = None
    """Automatic model that gives the boxes of `detector_box`."""

    scoring: ScoringOptions = DEFAULT_SCORING


DEFAULT_OPTIONS = EvaluationOptions()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What is asked of whom: the fixed part of every question."""

    protocol: str
    model_name: str
    split: str
    annotated: Mapping[str, tuple[str, ...]]
    """Categories to ask about, by source."""

    corpus_hash: str
    seed: int
    label_maps: bool
    detector: Predictor | None
    tiers: CorpusTiers

    @property
    def is_by_category(self) -> bool:
        """Whether the questions are categories rather than objects."""
        return self.protocol in {AUTOMATIC_PROTOCOL, DETECTOR_PROTOCOL}


def plan_questions(
    predictor: Predictor,
    corpus: Corpus,
    *,
    protocol: str,
    model_name: str,
    options: EvaluationOptions,
    tiers: CorpusTiers = NO_TIERS,
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
    plan = EvaluationPlan(
        protocol=protocol,
        model_name=model_name,
        split=corpus.manifest.split,
        annotated=annotated,
        corpus_hash=corpus.manifest.content_hash,
        seed=options.seed,
        label_maps=options.label_maps,
        detector=options.detector if protocol == DETECTOR_PROTOCOL else None,
        tiers=tiers,
    )
    _refuse_unfit_protocol(predictor, plan)
    if plan.is_by_category:
        _refuse_unknown_categories(plan.detector or predictor, corpus, plan)
    _refuse_nothing_to_ask(corpus, plan)
    return plan


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
    if plan.is_by_category:
        return [
            question_of_category(sample, category=category, plan=plan, position=position)
            for category in asked
        ]
    return [
        _question(
            sample,
            targets=[target],
            category=target.category,
            object_index=index,
            plan=plan,
            position=position,
        )
        for index, target in enumerate(sample.objects)
        if target.category in asked
    ]


def question_of_category(
    sample: UltrasoundSample, *, category: str, plan: EvaluationPlan, position: int
) -> Question:
    """Return the question for all objects of a category together; there may be none."""
    return _question(
        sample,
        targets=[target for target in sample.objects if target.category == category],
        category=category,
        object_index=WHOLE_CATEGORY,
        plan=plan,
        position=position,
    )


def _question(
    sample: UltrasoundSample,
    *,
    targets: Sequence[UltrasoundObject],
    category: str,
    object_index: int,
    plan: EvaluationPlan,
    position: int,
) -> Question:
    reference = np.zeros(sample.size, dtype=bool)
    for target in targets:
        reference |= target.mask()
    return Question(
        model=plan.model_name,
        protocol=plan.protocol,
        tier=plan.tiers.tier(source=sample.origin.source, key=sample.key),
        split=plan.split,
        object_index=object_index,
        category=category,
        organ=targets[0].organ if targets else "",
        num_components=sum(target.num_components for target in targets),
        reference=reference,
        corpus_hash=plan.corpus_hash,
        image_position=position,
    )


def _refuse_unfit_protocol(predictor: Predictor, plan: EvaluationPlan) -> None:
    """Refuse a protocol that there is not, or that the model cannot be asked under."""
    if plan.protocol not in {AUTOMATIC_PROTOCOL, DETECTOR_PROTOCOL, CLICKS_PROTOCOL}:
        protocol_named(plan.protocol)
    if predictor.is_automatic != (plan.protocol == AUTOMATIC_PROTOCOL):
        kind = "takes no prompts" if predictor.is_automatic else "takes prompts"
        fit = AUTOMATIC_PROTOCOL if predictor.is_automatic else "published_click"
        raise ValueError(
            f"protocols: {plan.protocol!r} does not fit {plan.model_name}, which {kind}. "
            f"Use protocols=[{fit}]."
        )
    if plan.protocol == DETECTOR_PROTOCOL and (
        plan.detector is None or not plan.detector.is_automatic
    ):
        found = "none is given" if plan.detector is None else "the one given takes prompts"
        raise ValueError(
            f"protocols: {DETECTOR_PROTOCOL!r} draws boxes around what an automatic model finds, "
            f"and {found}. Name one with detector=RUN, or leave the protocol out."
        )


def _refuse_unknown_categories(predictor: Predictor, corpus: Corpus, plan: EvaluationPlan) -> None:
    asked = {category for of_source in plan.annotated.values() for category in of_source}
    unknown = sorted(asked - set(predictor.categories))
    if unknown:
        who = plan.model_name if plan.detector is None else "the detector"
        raise ValueError(
            f"{corpus.url}: annotates {', '.join(unknown)}, which {who} does not know; it "
            f"knows {', '.join(predictor.categories)}. Ask about those only with categories=[...]."
        )


def _refuse_nothing_to_ask(corpus: Corpus, plan: EvaluationPlan) -> None:
    """Refuse a corpus without questions; only categories can be asked about without objects."""
    has_questions = corpus.num_samples > 0 and (
        plan.is_by_category or corpus.manifest.num_objects > 0
    )
    if not has_questions or not any(plan.annotated.values()):
        known = sorted({name for source in corpus.manifest.sources for name in source.categories})
        raise ValueError(
            f"{corpus.url}: no object to evaluate in {corpus.num_samples} images "
            f"({corpus.manifest.num_objects} objects; annotated: {', '.join(known) or 'nothing'}). "
            "Give a split that has some, or other categories=[...]."
        )
