"""A small corpus of bright disks, and stand-ins for models whose answers are known beforehand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation import CategoryAnswers, ImagePrompt
from shards import (
    Corpus,
    Origin,
    SourceDescription,
    UltrasoundObject,
    UltrasoundSample,
    hash_pixels,
    open_corpus,
    write_corpus,
)

DISK, RING = "disk", "ring"
BACKGROUND, OBJECT = 40, 200


class BrightnessPredictor:
    """Stand-in for a prompted model: answers the same bright pixels to every prompt."""

    is_automatic = False
    categories = ()

    def __init__(
        self, *, shift_rows: int = 0, finds_nothing: bool = False, first_logit: float | None = None
    ) -> None:
        self.shift_rows = shift_rows
        self.first_logit = first_logit
        self.finds_nothing = finds_nothing
        self.asked: list[ImagePrompt] = []
        self.num_images = 0

    def predict(
        self, images: Sequence[np.ndarray], prompts: Sequence[Sequence[ImagePrompt]]
    ) -> list[np.ndarray]:
        self.num_images += len(images)
        self.asked += [prompt for questions in prompts for prompt in questions]
        return [
            np.stack([self._logits(image) for _ in questions])
            if questions
            else np.empty((0, *image.shape[:2]))
            for image, questions in zip(images, prompts, strict=True)
        ]

    def predict_automatic(self, images: Sequence[np.ndarray]) -> list[CategoryAnswers]:
        raise NotImplementedError

    def _logits(self, image: np.ndarray) -> np.ndarray:
        grey = image if image.ndim == 2 else image[..., 0]
        logits = np.roll(grey.astype(np.float32) - 120.0, self.shift_rows, axis=0)
        if self.first_logit is not None:
            logits[0, 0] = self.first_logit
        return np.full_like(logits, -1.0) if self.finds_nothing else logits


class AutomaticBrightnessPredictor(BrightnessPredictor):
    """Stand-in for an automatic model: gives the bright pixels as its first category."""

    is_automatic = True

    def __init__(
        self,
        *,
        categories: tuple[str, ...],
        first_logit: float | None = None,
        presence_logits: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(first_logit=first_logit)
        self.categories = categories
        self.presence_logits = presence_logits

    def predict_automatic(self, images: Sequence[np.ndarray]) -> list[CategoryAnswers]:
        self.num_images += len(images)
        answers = []
        for image in images:
            logits = np.full((len(self.categories), *image.shape[:2]), -1.0, dtype=np.float32)
            logits[0] = self._logits(image)
            presence = None if self.presence_logits is None else np.array(self.presence_logits)
            answers.append(CategoryAnswers(logits=logits, presence_logits=presence))
        return answers


def disk_mask(*, shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """Return a bool disk."""
    rows, columns = np.indices(shape)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def disk_sample(
    name: str,
    *,
    subject: str = "",
    source: str = "disks",
    shape: tuple[int, int] = (40, 48),
    num_disks: int = 1,
    spacing: tuple[float, float] | None = None,
) -> UltrasoundSample:
    """Return an image with `num_disks` equal objects, so that their answers can be told."""
    mask = disk_mask(shape=shape, centre=(shape[0] / 2, shape[1] / 3), radius=min(shape) / 5)
    image = np.where(mask & (num_disks > 0), OBJECT, BACKGROUND).astype(np.uint8)
    target = UltrasoundObject.from_mask(mask, category=DISK, organ="phantom")
    return UltrasoundSample(
        key=f"{source}__{name}",
        image=image,
        objects=(target,) * num_disks,
        origin=Origin(
            source=source,
            licence="CC0-1.0",
            subject=subject or f"{source}__{name}",
            subject_is_known=bool(subject),
            spacing_millimetres=spacing,
            original_size=shape,
            pixels_sha256=hash_pixels(image),
        ),
    )


def write_disk_corpus(
    folder: Path,
    *,
    samples: Sequence[UltrasoundSample],
    categories: tuple[str, ...] = (DISK,),
    split: str = "test",
) -> Corpus:
    """Write the samples, which are grouped by source, and open what was written."""
    names = list(dict.fromkeys(sample.origin.source for sample in samples)) or ["disks"]
    descriptions = [
        SourceDescription(
            name=name,
            version="1",
            licence="CC0-1.0",
            citation="Made by the tests.",
            home_page="",
            categories=categories,
        )
        for name in names
    ]
    write_corpus(samples, str(folder), split=split, sources=descriptions, max_samples_per_shard=3)
    return open_corpus(str(folder))
