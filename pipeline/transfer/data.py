"""The images of a transfer task: which are labelled, and how a head gets to see them.

Axis names used in this file:
    image                  of a batch
    channel, row, column   of a framed image
    category               what a decoder tells apart
"""

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from model import Framing
from pipeline.augmentation.augment import augment
from pipeline.augmentation.config import AugmentationConfig
from pipeline.sample_draws import SampleDraws
from shards import Corpus, UltrasoundSample
from shards.loader_workers import fork_server, prepare_worker

_logger = logging.getLogger(__name__)


Label = Literal["category", "organ", "source"]


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """One image of one of the corpora, and its class."""

    corpus: Corpus
    index: int
    """Place in the corpus's flat order."""

    label: int
    """Index of its class; 0 for all in a segmentation."""

    subject: str

    def read(self) -> UltrasoundSample:
        """Read it from its shard."""
        return self.corpus.read_flat(self.index)


def labelled_part(
    images: Sequence[LabelledImage], *, fraction: float, seed: int
) -> list[LabelledImage]:
    """Return a share of every class, drawn by seed; smaller shares are parts of larger ones."""
    kept: list[int] = []
    for label in sorted({one.label for one in images}):
        places = [place for place, one in enumerate(images) if one.label == label]
        drawn = np.random.default_rng((seed, label)).permutation(places)
        kept += drawn[: math.ceil(fraction * len(places))].tolist()
    return [images[place] for place in sorted(kept)]


def classes_of(corpora: Sequence[Corpus], *, label: Label) -> tuple[str, ...]:
    """Return every label that an image of the corpora has as its only one, sorted.

    Raises:
        ValueError: There are fewer than two, so there is nothing to tell apart.
    """
    found = {
        name
        for corpus in corpora
        for _, names, _ in _named(corpus, label=label)
        if len(names) == 1
        for name in names
    }
    if len(found) < 2:
        raise ValueError(
            f"train: its images have {len(found)} labels by label={label} "
            f"({', '.join(sorted(found)) or 'none'}); a classification needs two. Choose another "
            "label, or add corpora."
        )
    return tuple(sorted(found))


def labelled_images(
    corpora: Sequence[Corpus], *, label: Label, classes: Sequence[str]
) -> list[LabelledImage]:
    """Return the images that have exactly one label, and say how many have not.

    Raises:
        ValueError: An image is of a class that was not trained on.
    """
    kept: list[LabelledImage] = []
    for corpus in corpora:
        for index, names, subject in _named(corpus, label=label):
            if len(names) != 1:
                continue
            (name,) = names
            if name not in classes:
                raise ValueError(
                    f"{corpus.url}: has images of {name}, which the training corpora have not "
                    f"({', '.join(classes)}). Train on a corpus that has them."
                )
            kept.append(
                LabelledImage(
                    corpus=corpus, index=index, label=classes.index(name), subject=subject
                )
            )
    num_images = sum(corpus.num_samples for corpus in corpora)
    if len(kept) < num_images:
        _logger.info(
            "%d of %d images have no label or several; they are left out.",
            num_images - len(kept),
            num_images,
        )
    return kept


def all_images(corpora: Sequence[Corpus]) -> list[LabelledImage]:
    """Return every image, for a segmentation."""
    return [
        LabelledImage(corpus=corpus, index=index, label=0, subject=subject)
        for corpus in corpora
        for index, _, subject in _named(corpus, label="source")
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class TransferBatch:
    """Framed images with what a head should say about them."""

    images: Float[Tensor, "image channel row column"]
    labels: Int[Tensor, " image"]
    masks: Bool[Tensor, "image category row column"]
    annotated: Bool[Tensor, "image category"]
    """Where not, an empty mask says nothing."""

    def to(self, device: str) -> "TransferBatch":
        """Return the batch on another device."""
        fields = {name: value.to(device) for name, value in vars(self).items()}
        return dataclasses.replace(self, **fields)


@dataclass(frozen=True, kw_only=True)
class TransferView:
    """How images are shown to one encoder."""

    framing: Framing
    num_channels: int
    categories: tuple[str, ...]
    """Of a segmentation; none for a classification."""

    annotated: Mapping[str, frozenset[str]]
    """Of every source by name: the categories whose absence is known."""

    augmentation: AugmentationConfig
    seed: int
    batch_size: int
    num_workers: int
    device: str = "cpu"
    """Where batches are put; images are read and framed on the CPU."""

    def once(self, images: Sequence[LabelledImage]) -> Iterable[TransferBatch]:
        """Return batches with every image once, in order and unchanged."""
        still = dataclasses.replace(self, augmentation=AugmentationConfig(enabled=False))
        return still._batches(images, places=range(len(images)))

    def shuffled(
        self, images: Sequence[LabelledImage], *, num_steps: int
    ) -> Iterable[TransferBatch]:
        """Return so many augmented batches, with every image once before any comes again."""
        num_drawn = num_steps * self.batch_size
        orders = [
            np.random.default_rng((self.seed, epoch)).permutation(len(images))
            for epoch in range(math.ceil(num_drawn / len(images)))
        ]
        return self._batches(images, places=np.concatenate(orders)[:num_drawn].tolist())

    def _batches(
        self, images: Sequence[LabelledImage], *, places: Sequence[int]
    ) -> Iterable[TransferBatch]:
        workers = {}
        if self.num_workers:
            context = fork_server(preload=[__name__])
            workers = {"multiprocessing_context": context, "worker_init_fn": prepare_worker}
        batches = DataLoader(
            _ShownImages(self, images=images, places=places),
            batch_size=self.batch_size,
            collate_fn=_collate,
            num_workers=self.num_workers,
            generator=torch.Generator(),  # its own, so that making a loader draws no global number
            **workers,
        )
        return (batch.to(self.device) for batch in batches)


class _ShownImages(Dataset[TransferBatch]):
    """A map from positions in a sequence of places to batches of one image."""

    def __init__(
        self, view: TransferView, *, images: Sequence[LabelledImage], places: Sequence[int]
    ) -> None:
        self._view = view
        self._images = images
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, position: int) -> TransferBatch:
        if position >= len(self._places):
            raise IndexError(position)
        view, image = self._view, self._images[self._places[position]]
        sample = image.read()
        masks = masks_by_category(sample, categories=view.categories)
        framed = augment(
            sample.image,
            list(masks),
            framing=view.framing,
            num_channels=view.num_channels,
            config=view.augmentation,
            draws=SampleDraws(seed=view.seed, position=position),
        )
        known = view.annotated[sample.origin.source]
        is_annotated = [
            one in known or bool(mask.any())
            for one, mask in zip(view.categories, masks, strict=True)
        ]
        return TransferBatch(
            images=framed.image[None],
            labels=torch.tensor([image.label]),
            masks=framed.masks[None],
            annotated=torch.tensor([is_annotated], dtype=torch.bool),
        )


def masks_by_category(
    sample: UltrasoundSample, *, categories: Sequence[str]
) -> Bool[np.ndarray, "category row column"]:
    """Return for each category the pixels that any of its objects covers."""
    masks = np.zeros((len(categories), *sample.size), dtype=bool)
    for one in sample.objects:
        if one.category in categories:
            masks[categories.index(one.category)] |= one.mask()
    return masks


def _collate(shown: list[TransferBatch]) -> TransferBatch:
    names = [field.name for field in dataclasses.fields(TransferBatch)]
    return TransferBatch(
        **{name: torch.cat([getattr(one, name) for one in shown]) for name in names}
    )


def _named(corpus: Corpus, *, label: Label) -> Iterator[tuple[int, frozenset[str], str]]:
    """Yield place, labels and subject of every image, without decoding it.

    Subjects of two sources are never the same one, whatever they are called.
    """
    for index in range(corpus.num_samples):
        objects, origin = corpus.read_annotations(*corpus.address(index))
        subject = f"{origin.source}/{origin.subject}"
        if label == "source":
            yield index, frozenset([origin.source]), subject
        else:
            yield index, frozenset(getattr(one, label) for one in objects), subject
