"""Pictures of held-out images with what was drawn and what was predicted."""

from pathlib import Path

import numpy as np
from PIL import Image

from evaluation import (
    PREDICTION_COLOUR,
    REFERENCE_COLOUR,
    EvaluationOptions,
    EvaluationPlan,
    SegmenterPredictor,
    answer_questions,
    draw_outline,
    plan_questions,
    questions_about,
)
from model import Segmenter
from shards import Corpus

from .config import PretrainConfig
from .process_group import ProcessGroup
from .validation import make_predictor, protocol_of


def draw_validation_pictures(
    segmenter: Segmenter,
    corpus: Corpus,
    *,
    folder: Path,
    config: PretrainConfig,
    group: ProcessGroup,
) -> list[Path]:
    """Write one PNG per image, the same images each time, and return the files.

    The segmenter is left in training mode. The prompts are those that were scored.
    """
    count = min(config.validation.num_pictures, corpus.num_samples)
    if count == 0:
        return []
    places = np.linspace(0, corpus.num_samples - 1, count).astype(int).tolist()
    predictor = make_predictor(segmenter, config=config, group=group)
    try:
        plan = plan_questions(
            predictor,
            corpus,
            protocol=protocol_of(segmenter, config=config),
            model_name=config.run.name,
            options=EvaluationOptions(),
        )
        folder.mkdir(parents=True, exist_ok=True)
        return [
            _draw(corpus, place, predictor=predictor, plan=plan, folder=folder) for place in places
        ]
    finally:
        segmenter.train()


def _draw(
    corpus: Corpus,
    place: int,
    *,
    predictor: SegmenterPredictor,
    plan: EvaluationPlan,
    folder: Path,
) -> Path:
    sample = corpus.read_flat(place)
    questions = questions_about(sample, plan=plan, position=place)
    (answers,) = answer_questions(predictor, [sample], questions=[questions], plan=plan)
    picture = np.array(Image.fromarray(sample.image).convert("RGB"))
    for question in questions:
        draw_outline(picture, question.reference, colour=REFERENCE_COLOUR)
    for answer in answers:
        draw_outline(picture, answer.mask, colour=PREDICTION_COLOUR)
    path = folder / f"{sample.key}.png"
    Image.fromarray(picture).save(path)
    return path
