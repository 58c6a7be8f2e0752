"""A sheet of pictures: what each augmentation does, alone and with the others."""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw

from evaluation import draw_outline
from model import Framing
from pipeline.sample_draws import SampleDraws
from shards import Corpus, UltrasoundSample

from .augment import FramedImage, augment
from .config import AugmentationConfig, InspectAugmentationConfig

CAPTION_PIXELS = 16
MARGIN_PIXELS = 4
_OUTLINE_COLOURS = ((255, 210, 60), (90, 220, 255), (255, 120, 160), (140, 255, 140))


def draw_augmentation_sheet(corpus: Corpus, config: InspectAugmentationConfig) -> Image.Image:
    """Draw a row for each change at full probability, and one for all at their own."""
    if corpus.num_samples == 0:
        raise ValueError(f"{corpus.url}: holds no samples, so there is nothing to draw.")
    count = min(config.num_pictures, corpus.num_samples)
    places = np.linspace(0, corpus.num_samples - 1, count).round().astype(int)
    samples = [corpus.read_flat(int(place)) for place in places]
    rows = _rows(config.augmentation)
    pitch = config.input_size + MARGIN_PIXELS
    row_pitch = pitch + CAPTION_PIXELS
    sheet = Image.new("RGB", (count * pitch + MARGIN_PIXELS, len(rows) * row_pitch), (24, 24, 24))
    pen = ImageDraw.Draw(sheet)
    for row, (caption, augmentation) in enumerate(rows.items()):
        pen.text((MARGIN_PIXELS, row * row_pitch + 2), caption, fill=(220, 220, 220))
        for column, sample in enumerate(samples):
            framed = _augmented(sample, augmentation, config=config, position=column)
            corner = (MARGIN_PIXELS + column * pitch, row * row_pitch + CAPTION_PIXELS)
            sheet.paste(_picture(framed), corner)
    return sheet


def _rows(augmentation: AugmentationConfig) -> dict[str, AugmentationConfig]:
    """Return the configuration of every row by its caption."""
    suffix = "_probability"
    names = [one.name for one in dataclasses.fields(augmentation) if one.name.endswith(suffix)]
    nothing = dict.fromkeys(names, 0.0)
    rows = {"framed only": dataclasses.replace(augmentation, **nothing)}
    for name in names:
        alone = {**nothing, name: 1.0, "enabled": True}
        rows[name.removesuffix(suffix)] = dataclasses.replace(augmentation, **alone)
    rows["all, as often as configured"] = augmentation
    return rows


def _augmented(
    sample: UltrasoundSample,
    augmentation: AugmentationConfig,
    *,
    config: InspectAugmentationConfig,
    position: int,
) -> FramedImage:
    return augment(
        sample.image,
        [one.mask() for one in sample.objects],
        framing=Framing(input_size=config.input_size, fit=config.fit),
        num_channels=3,
        config=augmentation,
        draws=SampleDraws(seed=config.seed, position=position),
    )


def _picture(framed: FramedImage) -> Image.Image:
    pixels = (framed.image.permute(1, 2, 0) * 255.0 + 0.5).byte().numpy().copy()
    for place, mask in enumerate(framed.masks.numpy()):
        draw_outline(pixels, mask, colour=_OUTLINE_COLOURS[place % len(_OUTLINE_COLOURS)])
    return Image.fromarray(pixels)
