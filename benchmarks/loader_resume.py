"""How soon the first batch comes after a resume, and what the plan costs at the largest scale.

Run `python -m benchmarks.loader_resume`. Corpora of more and more shards are simulated: one shard
of tiny images under many names. Then 100 million samples are planned for 4,096 ranks.
"""

import contextlib
import dataclasses
import os
import pickle
import shutil
import sys
import tempfile
import time
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from launchers.command_line import run_command
from shards import (
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
from shards.step_slots import slots_of_rank

from .loader_candidates import BATCH_SIZE, decode_masks, plan_of
from .table import Measurement, print_measurements

LINKS_OF_A_FILE = 10_000
"""Names that a file gets; file systems allow some ten thousands."""


@dataclass(kw_only=True)
class LoaderResumeConfig:
    """How large the corpora are."""

    num_shards: list[int] = field(default_factory=lambda: [10, 100, 1_000, 10_000, 100_000])
    """Shards of each simulated corpus."""

    samples_per_shard: int = 1_000
    """Samples of each of them."""

    num_ranks: int = 4_096
    """Ranks that the largest plan is shared by."""

    num_planned_shards: int = 100_000
    """Shards of that plan, of a thousand samples each."""


def measure(config: LoaderResumeConfig) -> None:
    """Measure and print the tables."""
    _measure_plan(config)
    rows: list[Measurement] = []
    for num_shards in config.num_shards:
        with tempfile.TemporaryDirectory(prefix="loader-resume-") as folder:
            url = _write_large_corpus(
                Path(folder), num_shards=num_shards, samples_per_shard=config.samples_per_shard
            )
            if not rows:
                first = _first_batch(url, position=0, num_workers=2)
                name = "starting the workers' server, once a run"
                rows.append(Measurement(name=name, value=first, unit="s"))
            epoch = num_shards * config.samples_per_shard
            rows += _measure_resume(url, num_shards=num_shards, epoch=epoch)
    print_measurements(
        f"First batch after a resume, {config.samples_per_shard} images a shard, opening included",
        rows,
    )


def _measure_plan(config: LoaderResumeConfig) -> None:
    """Time and weigh the plan, and the addresses of the last rank's samples far into the run."""
    source = StreamSource(
        content_hash="", weight=1.0, samples_per_shard=(1_000,) * config.num_planned_shards
    )

    def plan_a_step() -> StreamPlan:
        plan = StreamPlan([source], seed=0)
        slots = slots_of_rank(
            100_000,
            global_batch_size=2 * config.num_ranks,
            rank=config.num_ranks - 1,
            num_ranks=config.num_ranks,
        )
        for position in slots:
            plan.address(position)
        return plan

    started = time.perf_counter()
    plan = plan_a_step()
    seconds = time.perf_counter() - started
    tracemalloc.start()
    plan_a_step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print_measurements(
        f"Plan of {config.num_planned_shards:,} shards with a thousand samples, for one of "
        f"{config.num_ranks:,} ranks",
        [
            Measurement(name="until the first sample is known", value=seconds, unit="s", aim=1.0),
            Measurement(name="peak memory", value=peak / 1e6, unit="MB"),
            Measurement(
                name="what a worker is sent", value=len(pickle.dumps(plan)) / 1e6, unit="MB"
            ),
        ],
    )


def _measure_resume(url: str, *, num_shards: int, epoch: int) -> list[Measurement]:
    """Time opening a corpus and the first batch, from nothing, at several positions."""
    cases = {
        "at the beginning": (0, 0),
        "in the thousandth epoch": (epoch * 1000 + epoch // 3, 0),
        "there, two workers": (epoch * 1000 + epoch // 3, 2),
    }
    return [
        Measurement(
            name=f"{num_shards:,} shards, {name}",
            value=_first_batch(url, position=position, num_workers=workers),
            unit="s",
            aim=5.0,
        )
        for name, (position, workers) in cases.items()
    ]


def _first_batch(url: str, *, position: int, num_workers: int) -> float:
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
    entries, origins = [], {name: folder / name for name in (entry.name, entry.index_name)}
    for number in range(num_shards):
        copy = dataclasses.replace(entry, name=f"copy-{number:06d}.tar")
        is_anew = number % LINKS_OF_A_FILE == 0
        for present, wanted in ((entry.name, copy.name), (entry.index_name, copy.index_name)):
            if is_anew:
                shutil.copyfile(origins[present], folder / wanted)
                origins[present] = folder / wanted
            else:
                os.link(origins[present], folder / wanted)
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


if __name__ == "__main__":
    sys.exit(run_command(LoaderResumeConfig, measure))
