"""Memory of a loader's workers, beside that of torch's loader on a PNG folder and `webdataset`."""

import contextlib
import itertools
import multiprocessing
from collections.abc import Iterator
from typing import Any

import psutil
from torch.utils.data import DataLoader

from pipeline.augmentation.config import AugmentationConfig
from shards import Corpus

from .loader_candidates import BATCH_SIZE, plain_webdataset, published_loader, training_loader
from .published_loader import PublishedDataset
from .table import Measurement, print_measurements

NUM_WORKERS = 2
_NUM_BATCHES = 20


def measure_memory(corpus: Corpus, *, published: PublishedDataset) -> None:
    """Print what a worker has for itself (USS), and with its share of what is shared (PSS)."""
    loaders: dict[str, Iterator[Any]] = {
        "PNG folder, torch's loader": _endless(
            published_loader(published, num_workers=NUM_WORKERS)
        ),
        "webdataset in torch's loader": _endless(
            DataLoader(
                plain_webdataset(corpus),
                batch_size=BATCH_SIZE,
                collate_fn=list,
                num_workers=NUM_WORKERS,
            )
        ),
        "shards, training batches": iter(
            training_loader(corpus, augmentation=AugmentationConfig(), num_workers=NUM_WORKERS)
        ),
    }
    rows = []
    for name, batches in loaders.items():
        own, proportional = _megabytes_of_workers(batches)
        rows.append(Measurement(name=f"{name}, own", value=own, unit="MB"))
        rows.append(Measurement(name=f"{name}, proportional", value=proportional, unit="MB"))
    print_measurements(
        f"Memory of each of {NUM_WORKERS} workers after {_NUM_BATCHES} batches", rows
    )


def _megabytes_of_workers(batches: Iterator[Any]) -> tuple[float, float]:
    """Return the mean unique and proportional set sizes of the workers of a loader."""
    before = {process.pid for process in multiprocessing.active_children()}
    with contextlib.closing(batches):  # pyright: ignore[reportArgumentType] -- they are generators
        for _ in itertools.islice(batches, _NUM_BATCHES):
            pass
        workers = [
            psutil.Process(process.pid).memory_full_info()
            for process in multiprocessing.active_children()
            if process.pid not in before
        ]
        own = sum(memory.uss for memory in workers) / len(workers) / 1e6
        return own, sum(memory.pss for memory in workers) / len(workers) / 1e6


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader
