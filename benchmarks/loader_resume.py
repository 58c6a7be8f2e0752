"""How soon the first batch comes after a resume, in a corpus of many shards."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path

import numpy as np

from shards import (
    Corpus,
    Origin,
    SourceDescription,
    StreamPlan,
    StreamSource,
    UltrasoundSample,
    hash_pixels,
    open_corpus,
    write_corpus,
)
from shards.manifest import write_manifest
from shards.sample_stream import MicroBatchSampler, SampleStream, make_stream_loader

from .table import Measurement, print_measurements

BATCH_SIZE = 8


def plan_of(corpus: Corpus) -> StreamPlan:
    """Return the plan of one corpus with weight 1."""
    source = StreamSource(
        content_hash=corpus.manifest.content_hash,
        weight=1.0,
        samples_per_shard=corpus.samples_per_shard,
    )
    return StreamPlan([source], seed=0)


def decode_masks(sample: UltrasoundSample, _position: int) -> list[np.ndarray]:
    """Unpack a sample's masks, the last step to a decoded sample."""
    return [target.mask() for target in sample.objects]


def measure_resume(folder: Path, *, num_shards: int, samples_per_shard: int) -> None:
    """Time opening a large corpus and the first batch, from nothing, at several positions."""
    url = _write_large_corpus(folder, num_shards=num_shards, samples_per_shard=samples_per_shard)
    epoch = num_shards * samples_per_shard
    cases = {
        "at the beginning": (0, 0),
        "in the middle of the first epoch": (epoch // 2, 0),
        "in the thousandth epoch": (epoch * 1000 + epoch // 3, 0),
        "in the middle, with two workers": (epoch // 2, 2),
    }
    print_measurements(
        f"First batch in a corpus of {num_shards} shards and {epoch:.2g} images, opening it "
        "included",
        [
            Measurement(name=name, value=_first_batch(url, position, workers), unit="s", aim=5.0)
            for name, (position, workers) in cases.items()
        ],
    )


def _first_batch(url: str, position: int, num_workers: int) -> float:
    started = time.perf_counter()
    corpus = open_corpus(url)
    loader = make_stream_loader(
        SampleStream([corpus], plan_of(corpus), transform=decode_masks),
        MicroBatchSampler(
            global_batch_size=BATCH_SIZE,
            micro_batch_size=BATCH_SIZE,
            first_step=position // BATCH_SIZE,
        ),
        num_workers=num_workers,
        collate=len,
    )
    with contextlib.closing(iter(loader)) as batches:
        next(batches)
        return time.perf_counter() - started


def _write_large_corpus(folder: Path, *, num_shards: int, samples_per_shard: int) -> str:
    """Write one shard of tiny images and give it many names; links cost neither time nor disk."""
    description = SourceDescription(
        name="tiny",
        version="1",
        licence="CC0-1.0",
        citation="Made by the benchmark.",
        home_page="",
        categories=(),
    )
    samples = map(_tiny_sample, range(samples_per_shard))
    manifest = write_corpus(samples, str(folder), split="train", sources=[description])
    (entry,) = manifest.shards
    entries = []
    for number in range(num_shards):
        copy = dataclasses.replace(entry, name=f"copy-{number:06d}.tar")
        for present, wanted in ((entry.name, copy.name), (entry.index_name, copy.index_name)):
            os.link(folder / present, folder / wanted)
        entries.append(copy)
    write_manifest(dataclasses.replace(manifest, shards=tuple(entries)), url=str(folder))
    return str(folder)


def _tiny_sample(number: int) -> UltrasoundSample:
    image = np.full((8, 8), number % 256, dtype=np.uint8)
    key = f"tiny__{number:06d}"
    origin = Origin(
        source="tiny",
        licence="CC0-1.0",
        subject=key,
        subject_is_known=False,
        original_size=(8, 8),
        pixels_sha256=hash_pixels(image),
    )
    return UltrasoundSample(key=key, image=image, objects=(), origin=origin)
