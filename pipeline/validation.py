"""Scores on held-out shards during training: each object once, shared out over the ranks."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evaluation import (
    AUTOMATIC_PROTOCOL,
    MORE_PROTOCOLS,
    PROTOCOLS,
    BootstrapOptions,
    EvaluationOptions,
    SegmenterPredictor,
    evaluate_corpus,
    gather_records,
    plan_questions,
    summarise,
)
from model import Segmenter
from shards import Corpus

from .batch_normalization import share_running_statistics
from .config import PretrainConfig
from .process_group import ProcessGroup


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """What a validation found, the same on every rank."""

    score: float
    """The one that chooses the best checkpoint; NaN where nothing could be scored."""

    values: Mapping[str, float]
    """Means over objects by name, for `metrics.jsonl`."""


class _BrokenOffError(Exception):
    """`goes_on` said no."""


def validate(
    segmenter: Segmenter,
    corpus: Corpus,
    *,
    config: PretrainConfig,
    group: ProcessGroup,
    goes_on: Callable[[], bool],
) -> ValidationResult | None:
    """Score the segmenter, which is unwrapped, and leave it in training mode (collective).

    Args:
        segmenter: What is scored.
        corpus: The held-out shards.
        config: Protocol, batch size and score.
        group: The ranks that share the images.
        goes_on: Asked before each batch by all ranks at once. Where it says no, which it must do
            alike on all ranks, the validation breaks off and returns None.
    """

    def break_off_unless_it_goes_on() -> None:
        if not goes_on():
            raise _BrokenOffError

    options = EvaluationOptions(images_per_batch=config.validation.batch_size)
    share_running_statistics(segmenter, num_ranks=group.num_ranks)
    try:
        predictor = make_predictor(segmenter, config=config, group=group)
        mine = evaluate_corpus(
            predictor,
            corpus,
            protocol=protocol_of(segmenter, config=config),
            model_name=config.run.name,
            rank=group.rank,
            num_ranks=group.num_ranks,
            progress=group.is_main,
            before_batch=break_off_unless_it_goes_on,
            options=options,
        )
    except _BrokenOffError:
        return None
    finally:
        segmenter.train()
    records = gather_records(group.gather(mine))
    summary = summarise(records, bootstrap=BootstrapOptions(num_resamples=0))
    values = {f"validation/{name}": value for name, value in summary.scores().items()}
    for category, stratum in summary.by_category.items():
        values[f"validation/{category}/dice"] = stratum.mean("dice")
    for name, ranking in summary.presence.items():
        values[f"validation/{name}/presence_auc"] = ranking.auc
    finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return ValidationResult(
        score=finite.get(f"validation/{config.validation.score}", math.nan), values=finite
    )


def check_validation(
    segmenter: Segmenter, corpus: Corpus, *, config: PretrainConfig, group: ProcessGroup
) -> None:
    """Refuse at the start what the first validation could not ask, maybe hours later.

    Raises:
        ValueError: The protocol does not fit, or the model does not know a category.
    """
    protocol = protocol_of(segmenter, config=config)
    if protocol in MORE_PROTOCOLS and protocol != AUTOMATIC_PROTOCOL:
        raise ValueError(
            f"validation.protocol is {protocol}, which is more than one question about an object. "
            f"Choose from {', '.join(PROTOCOLS)}."
        )
    try:
        plan_questions(
            make_predictor(segmenter, config=config, group=group),
            corpus,
            protocol=protocol,
            model_name=config.run.name,
            options=EvaluationOptions(),
        )
    except ValueError as error:
        raise ValueError(f"data.validation or validation.protocol does not fit: {error}") from error
    finally:
        segmenter.train()


def make_predictor(
    segmenter: Segmenter, *, config: PretrainConfig, group: ProcessGroup
) -> SegmenterPredictor:
    """Return the segmenter in evaluation mode behind the interface of the evaluation."""
    return SegmenterPredictor(
        segmenter,
        device=group.device,
        batch_size=config.validation.batch_size,
        precision=config.precision,
    )


def protocol_of(segmenter: Segmenter, *, config: PretrainConfig) -> str:
    """Return how the segmenter is asked; one that answers by category is not asked at all."""
    return AUTOMATIC_PROTOCOL if segmenter.is_automatic else config.validation.protocol
