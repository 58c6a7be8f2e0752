"""One pass over corpora: what the audit keeps of every picture and of every annotated object."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from shards.patient_split import SPLITS
from shards.sample import Origin, UltrasoundSample
from shards.shard_reader import Corpus
from shards.worker_pool import worker_pool

from .annotation_outliers import ObjectMeasures, measure_object
from .candidate_pairs import DescriptorTable
from .image_descriptors import DESCRIPTOR, describe_image, make_thumbnail


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyedImage:
    """One picture, without its pixels."""

    corpus: int
    """Place of its corpus in the list that was given."""

    place: int
    """Place in the flat order of that corpus."""

    key: str
    split: str
    source: str
    licence: str
    subject: str | None
    """None where it is unknown."""

    sequence: str | None
    pixels_sha256: bytes

    @property
    def group(self) -> tuple[str, ...]:
        """What belongs together: a known subject, else a sequence, else the picture alone."""
        if self.subject is not None:
            return (self.source, "subject", self.subject)
        if self.sequence is not None:
            return (self.source, "sequence", self.sequence)
        return (self.source, "image", self.key, str(self.corpus))


@dataclass(frozen=True, kw_only=True)
class ImageSurvey:
    """All pictures of the corpora, in their order, with the descriptors and the objects."""

    corpora: tuple[Corpus, ...]
    images: tuple[SurveyedImage, ...]
    descriptors: DescriptorTable
    objects: tuple[ObjectMeasures, ...]

    @property
    def sources(self) -> list[str]:
        """The source of every picture."""
        return [image.source for image in self.images]


@dataclass(kw_only=True)
class _ShardSurvey:
    images: list[SurveyedImage] = field(default_factory=list)
    descriptors: list[np.ndarray] = field(default_factory=list)
    objects: list[ObjectMeasures] = field(default_factory=list)
    """Their `image` counts from the start of the shard."""


def survey_images(
    corpora: Sequence[Corpus], *, has_descriptors: bool, num_workers: int
) -> ImageSurvey:
    """Read every sample once; shards are shared among `num_workers` processes (0: none)."""
    tasks = [
        (number, corpus, shard, has_descriptors)
        for number, corpus in enumerate(corpora)
        for shard in range(len(corpus.manifest.shards))
    ]
    images: list[SurveyedImage] = []
    descriptors: list[np.ndarray] = []
    objects: list[ObjectMeasures] = []
    surveys = _survey_shards(tasks, num_workers=num_workers)
    for one in tqdm(surveys, total=len(tasks), desc="survey", unit="shard", disable=None):
        objects += [thing.moved(len(images)) for thing in one.objects]
        images += one.images
        descriptors += one.descriptors
    counts = [len(some) for some in descriptors]
    numbers: dict[tuple[str, ...], int] = {}
    groups = [numbers.setdefault(image.group, len(numbers)) for image in images]
    table = DescriptorTable(
        descriptors=np.concatenate([np.empty(0, DESCRIPTOR), *descriptors]),
        starts=np.cumsum([0, *counts]),
        groups=np.array(groups, np.int32),
        splits=np.array([SPLITS.index(image.split) for image in images], np.int8),
    )
    return ImageSurvey(
        corpora=tuple(corpora), images=tuple(images), descriptors=table, objects=tuple(objects)
    )


def _survey_shards(
    tasks: list[tuple[int, Corpus, int, bool]], *, num_workers: int
) -> Iterator[_ShardSurvey]:
    """Yield what each shard holds, in the order of the tasks."""
    if num_workers == 0:
        yield from itertools.starmap(_survey_shard, tasks)
        return
    with worker_pool(num_workers) as pool:
        yield from pool.map(_survey_shard, *zip(*tasks, strict=True))


def _survey_shard(
    number: int, corpus: Corpus, shard: int, has_descriptors: bool, /
) -> _ShardSurvey:
    survey = _ShardSurvey()
    start = sum(corpus.samples_per_shard[:shard])
    for sample_number in range(corpus.samples_per_shard[shard]):
        sample = corpus.read(shard, sample_number)
        survey.objects += [
            measure_object(thing, image=len(survey.images)) for thing in sample.objects
        ]
        survey.descriptors.append(
            describe_image(make_thumbnail(sample.image))
            if has_descriptors
            else np.empty(0, DESCRIPTOR)
        )
        survey.images.append(
            _image_of(
                sample,
                origin=sample.origin,
                corpus=number,
                place=start + sample_number,
                split=corpus.manifest.split,
            )
        )
    return survey


def _image_of(
    sample: UltrasoundSample, *, origin: Origin, corpus: int, place: int, split: str
) -> SurveyedImage:
    return SurveyedImage(
        corpus=corpus,
        place=place,
        key=sample.key,
        split=split,
        source=origin.source,
        licence=origin.licence,
        subject=origin.subject if origin.subject_is_known else None,
        sequence=origin.sequence,
        pixels_sha256=bytes.fromhex(origin.pixels_sha256),
    )
