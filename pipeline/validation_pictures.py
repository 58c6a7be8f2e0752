"""Pictures of held-out images with what was drawn and what was predicted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation import (
    AUTOMATIC_PROTOCOL,
    PROTOCOLS,
    SegmenterPredictor,
    boundary_pixels,
)
from model import Segmenter
from shards import Corpus, UltrasoundSample

from .config import PretrainConfig
from .process_group import ProcessGroup
from .validation import make_predictor, protocol_of

REFERENCE_COLOUR = (0, 200, 255)
PREDICTION_COLOUR = (255, 160, 0)


def draw_validation_pictures(
    segmenter: Segmenter,
    corpus: Corpus,
    *,
    folder: Path,
    config: PretrainConfig,
    group: ProcessGroup,
) -> list[Path]:
    """Write one PNG per image, the same images each time, and return the files.

    The segmenter is left in training mode. Reference outlines are blue, predicted ones orange.
    """
    count = min(config.validation.num_pictures, corpus.num_samples)
    if count == 0:
        return []
    places = np.linspace(0, corpus.num_samples - 1, count).astype(int).tolist()
    protocol = protocol_of(segmenter, config=config)
    predictor = make_predictor(segmenter, config=config, group=group)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            _draw(corpus.read_flat(place), predictor=predictor, protocol=protocol, folder=folder)
            for place in places
        ]
    finally:
        segmenter.train()


def _draw(
    sample: UltrasoundSample, *, predictor: SegmenterPredictor, protocol: str, folder: Path
) -> Path:
    references = [one.mask() for one in sample.objects]
    if protocol == AUTOMATIC_PROTOCOL:
        logits = predictor.predict_automatic([sample.image])[0]
    else:
        generator = np.random.default_rng(0)
        prompts = [PROTOCOLS[protocol](mask, generator) for mask in references]
        logits = predictor.predict([sample.image], [prompts])[0]
    path = folder / f"{sample.key}.png"
    picture = outline(sample.image, masks=references, colour=REFERENCE_COLOUR)
    picture = outline(picture, masks=list(logits > 0), colour=PREDICTION_COLOUR)
    Image.fromarray(picture).save(path)
    return path


def outline(
    image: np.ndarray, *, masks: Sequence[np.ndarray], colour: tuple[int, int, int]
) -> np.ndarray:
    """Return the image in RGB with the inner edge of every mask in one colour."""
    picture = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
    for mask in masks:
        picture[boundary_pixels(mask)] = colour
    return picture
