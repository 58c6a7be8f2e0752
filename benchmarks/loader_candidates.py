"""What the loader benchmark compares: ways to the same samples, each an endless iterator."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import fsspec
import numpy as np
from torch.utils.data import DataLoader
from webdataset.compat import WebDataset
from webdataset.gopen import gopen_schemes

from model import Framing, PromptSimulationConfig
from pipeline.augmentation.config import AugmentationConfig
from pipeline.batches import TrainingBatch, make_training_loader
from shards import Corpus, RunLength, StreamPlan, StreamSource, UltrasoundSample
from shards.sample_stream import MicroBatchSampler, SampleStream, StreamLoader, make_stream_loader

from .published_loader import INPUT_PIXELS, PublishedDataset

BATCH_SIZE = 8

AS_PUBLISHED = AugmentationConfig(
    gamma_range=(1.0 / 2.4, 1.0),
    contrast_range=(0.8, 2.0),
    gain_probability=0.0,
    attenuation_probability=0.0,
    shadow_probability=0.0,
    speckle_probability=0.0,
)
"""The changes of the published recipe, with its strengths."""


class Delivered(NamedTuple):
    """What came out of a loader at once."""

    num_images: int
    num_masks: int


def plan_of(corpus: Corpus) -> StreamPlan:
    """Return the plan of one corpus with weight 1."""
    source = StreamSource(
        content_hash=corpus.manifest.content_hash,
        weight=1.0,
        samples_per_shard=corpus.samples_per_shard,
    )
    return StreamPlan([source], seed=0)


def published_loader(dataset: PublishedDataset, *, num_workers: int = 0) -> DataLoader[Any]:
    """Return torch's loader of the published dataset."""
    return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, num_workers=num_workers)


def training_loader(
    corpus: Corpus, *, augmentation: AugmentationConfig, num_workers: int = 0
) -> StreamLoader[TrainingBatch]:
    """Return the loader of a training run, asked for one click a mask as the published one."""
    return make_training_loader(
        corpora=[corpus],
        plan=plan_of(corpus),
        framing=Framing(input_size=INPUT_PIXELS, fit="squash"),
        num_channels=1,
        categories=(),
        prompts=PromptSimulationConfig(
            box_probability=0.0, max_positive_points=1, max_negative_points=0
        ),
        augmentation=augmentation,
        num_error_clicks=0,
        seed=0,
        max_objects_per_image=64,
        global_batch_size=BATCH_SIZE,
        micro_batch_size=BATCH_SIZE,
        num_workers=num_workers,
    )


def plain_webdataset(corpus: Corpus) -> Any:  # noqa: ANN401 -- its methods name no type
    """Return `webdataset` alone on the shards of a corpus, from a disk or a bucket."""
    # It has no handler of its own for buckets; this is the one of docs/streaming.md.
    gopen_schemes["s3"] = _open_whole
    urls = [f"{corpus.url}/{shard.name}" for shard in corpus.manifest.shards]
    return WebDataset(urls, shardshuffle=False, empty_check=False).decode("pil")


def masks_as_published(dataset: PublishedDataset) -> Iterator[Delivered]:
    """Yield the published dataset's batches: an image for every mask."""
    while True:
        for batch in published_loader(dataset):
            yield Delivered(num_images=len(batch["mask"]), num_masks=len(batch["mask"]))


def masks_of_training(
    corpus: Corpus, *, augmentation: AugmentationConfig, num_workers: int = 0
) -> Iterator[Delivered]:
    """Yield training batches; objects that were cut off by a change count for nothing."""
    loader = training_loader(corpus, augmentation=augmentation, num_workers=num_workers)
    for batch in loader:
        yield Delivered(num_images=batch.num_images, num_masks=batch.num_objects)


def samples_of_webdataset(corpus: Corpus) -> Iterator[Delivered]:
    """Yield decoded samples, read by `webdataset` in the order of the shards."""
    while True:
        for sample in plain_webdataset(corpus):
            image = next(value for name, value in sample.items() if name.startswith("image."))
            np.asarray(image)
            masks = [RunLength.from_json(one["rle"]).mask() for one in sample["objects.json"]]
            yield Delivered(num_images=1, num_masks=len(masks))


def samples_of_stream(corpus: Corpus) -> Iterator[Delivered]:
    """Yield decoded samples in the order of the plan."""
    stream = SampleStream([corpus], plan_of(corpus), transform=decode_masks)
    sampler = MicroBatchSampler(global_batch_size=1, micro_batch_size=1)
    for (masks,) in make_stream_loader(stream, sampler, num_workers=0, collate=list):
        yield Delivered(num_images=1, num_masks=len(masks))


def decode_masks(sample: UltrasoundSample, _position: int) -> list[np.ndarray]:
    """Unpack a sample's masks, the last step to a decoded sample."""
    return [target.mask() for target in sample.objects]


def _open_whole(url: str, _mode: str = "rb", _buffer_size: int = 8192) -> io.BytesIO:
    """Open a shard in a bucket with one request, the quickest way that there is for one."""
    filesystem, path = fsspec.url_to_fs(url)
    return io.BytesIO(filesystem.cat_file(path))
