"""Speed of the loader: masks a second and core, and the first batch after a resume.

Run `python -m benchmarks.loader`, with `corpus=FOLDER` for a corpus of your own. Throughput is a
count per second of processor time of this process, with one thread: a figure per core that other
work on the machine changes little. The rounds of all candidates are interleaved all the same.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from webdataset.compat import WebDataset

from launchers.command_line import run_command
from model import Framing, PromptSimulationConfig
from pipeline.augmentation_config import AugmentationConfig
from pipeline.batches import make_training_loader
from shards import (
    BuildConfig,
    Corpus,
    PhantomConfig,
    RunLength,
    build_corpora,
    open_corpus,
)
from shards.sample_stream import MicroBatchSampler, SampleStream, make_stream_loader

from .loader_resume import decode_masks, measure_resume, plan_of
from .published_loader import INPUT_PIXELS, PublishedDataset, write_png_folder
from .table import Measurement, print_measurements

BATCH_SIZE = 8
PUBLISHED, OURS, OURS_ALL = (
    "PNG folder, transforms as published",
    "shards, the same changes",
    "shards, all changes of the default",
)
PLAIN, DECODED = "webdataset, decoded samples", "shards, decoded samples"


@dataclass(kw_only=True)
class LoaderBenchmarkConfig:
    """What is loaded, and for how long."""

    corpus: str | None = None
    """Folder or URL of a corpus on a disk; null simulates one of 384-pixel images."""

    num_subjects: int = 12
    """Of the simulated corpus."""

    seconds_per_round: float = 4.0
    """Processor time that each candidate gets in a round."""

    num_rounds: int = 5
    """Rounds; the table shows their median."""

    num_shards: int = 10_000
    """Shards of the corpus in which a resume is timed."""

    samples_per_shard: int = 1_000
    """Samples of each of them."""


def measure(config: LoaderBenchmarkConfig) -> None:
    """Measure the loader beside its baselines and print the tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loader-benchmark-") as folder:
        corpus = open_corpus(config.corpus or _simulate(Path(folder), config=config))
        _measure_throughput(corpus, folder=Path(folder), config=config)
        measure_resume(
            Path(folder) / "large",
            num_shards=config.num_shards,
            samples_per_shard=config.samples_per_shard,
        )


def _measure_throughput(corpus: Corpus, *, folder: Path, config: LoaderBenchmarkConfig) -> None:
    pngs = folder / "png"
    pngs.mkdir()
    published = PublishedDataset(write_png_folder(corpus, pngs), seed=0)
    as_published = AugmentationConfig(
        gamma_range=(1.0, 2.4),
        contrast_range=(0.8, 2.0),
        gain_probability=0.0,
        attenuation_probability=0.0,
        shadow_probability=0.0,
        speckle_probability=0.0,
    )
    candidates: dict[str, Iterator[int]] = {
        PUBLISHED: _masks_as_published(published),
        OURS: _masks_of_training(corpus, augmentation=as_published),
        OURS_ALL: _masks_of_training(corpus, augmentation=AugmentationConfig()),
        PLAIN: _samples_of_webdataset(corpus),
        DECODED: _samples_of_stream(corpus),
    }
    rates = _interleaved_rates(candidates, config=config)
    print_measurements(
        f"Loader, one core: {corpus.num_samples} images, {corpus.manifest.num_objects} masks",
        [
            Measurement(name=PUBLISHED, value=rates[PUBLISHED], unit="masks/s"),
            Measurement(name=OURS, value=rates[OURS], unit="masks/s", baseline=PUBLISHED, aim=4.0),
            Measurement(name=OURS_ALL, value=rates[OURS_ALL], unit="masks/s", baseline=PUBLISHED),
            Measurement(name=PLAIN, value=rates[PLAIN], unit="images/s"),
            Measurement(
                name=DECODED, value=rates[DECODED], unit="images/s", baseline=PLAIN, aim=1.0
            ),
        ],
    )


def _interleaved_rates(
    candidates: dict[str, Iterator[int]], *, config: LoaderBenchmarkConfig
) -> dict[str, float]:
    """Return the median over the rounds of every candidate's count a second."""
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for iterator in candidates.values():
        next(iterator)
    for _ in range(config.num_rounds):
        for name, iterator in candidates.items():
            started, count = time.process_time(), 0
            while time.process_time() - started < config.seconds_per_round:
                count += next(iterator)
            rates[name].append(count / (time.process_time() - started))
    return {name: statistics.median(found) for name, found in rates.items()}


def _masks_as_published(dataset: PublishedDataset) -> Iterator[int]:
    while True:
        loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True)
        for batch in loader:
            yield len(batch["mask"])


def _masks_of_training(corpus: Corpus, *, augmentation: AugmentationConfig) -> Iterator[int]:
    """Yield the masks of each batch; objects that were cut off by a change count for nothing."""
    loader = make_training_loader(
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
    )
    for batch in loader:
        yield batch.num_objects


def _samples_of_webdataset(corpus: Corpus) -> Iterator[int]:
    urls = [f"{corpus.url}/{shard.name}" for shard in corpus.manifest.shards]
    while True:
        samples: Any = WebDataset(urls, shardshuffle=False).decode("pil")
        for sample in samples:
            image = next(value for name, value in sample.items() if name.startswith("image."))
            np.asarray(image)
            for target in sample["objects.json"]:
                RunLength.from_json(target["rle"]).mask()
            yield 1


def _samples_of_stream(corpus: Corpus) -> Iterator[int]:
    stream = SampleStream([corpus], plan_of(corpus), transform=decode_masks)
    sampler = MicroBatchSampler(global_batch_size=1, micro_batch_size=1)
    yield from make_stream_loader(stream, sampler, num_workers=0, collate=len)


def _simulate(folder: Path, *, config: LoaderBenchmarkConfig) -> str:
    phantom = PhantomConfig(
        num_subjects=config.num_subjects, min_size_pixels=384, max_size_pixels=384
    )
    build_corpora(BuildConfig(source="phantom", output=str(folder / "phantom"), phantom=phantom))
    return f"{folder}/phantom/train"


if __name__ == "__main__":
    sys.exit(run_command(LoaderBenchmarkConfig, measure))
