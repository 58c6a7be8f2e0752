"""Speed of building shards, beside that at which the disk gives the raw files.

Run `python -m benchmarks.building source=us30k root=/data/US30K`, or without options on simulated
pictures. Before each row the system is asked to forget the files, so that all read them from the
disk. Starting the workers is part of the time.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launchers.command_line import run_command
from shards import BuildConfig, PhantomConfig, Us30kConfig, build_corpora, encode_png, open_corpus

from .table import Measurement, print_measurements

RAW, ALONE, ONE, TWO = (
    "raw files, only read",
    "built without a worker",
    "built by 1 worker",
    "built by 2 workers",
)


@dataclass(kw_only=True)
class BuildingBenchmarkConfig:
    """What is built."""

    source: str = "us30k"
    """As for `launchers/build_shards.py`."""

    root: str | None = None
    """Folder of the raw data; null writes simulated pictures in the US30K layout."""

    num_images: int = 400
    """Simulated pictures that are written; every 48th is another copy of the first."""

    side_pixels: int = 384
    """Of each of them."""


def measure(config: BuildingBenchmarkConfig) -> None:
    """Build with 0, 1 and 2 workers and print the table."""
    with tempfile.TemporaryDirectory(prefix="building-benchmark-") as folder:
        root = Path(config.root or f"{folder}/raw")
        if config.root is None:
            _write_pictures(root, config=config, folder=Path(folder))
        files = [path for path in root.rglob("*") if path.is_file()]
        raw_megabytes = sum(path.stat().st_size for path in files) / 1e6
        seconds, num_images = {RAW: _seconds_to_read(files)}, 0
        for num_workers, name in enumerate((ALONE, ONE, TWO)):
            output = f"{folder}/{num_workers}"
            _forget(files)
            started = time.monotonic()
            manifests = build_corpora(_build_config(config, root, output, num_workers=num_workers))
            seconds[name] = time.monotonic() - started
            num_images = sum(manifest.num_samples for manifest in manifests.values())
    rows = [Measurement(name=RAW, value=raw_megabytes / seconds[RAW], unit="MB/s")]
    for name in (ALONE, ONE, TWO):
        rate = raw_megabytes / seconds[name]
        rows.append(Measurement(name=f"{name}, raw files", value=rate, unit="MB/s", baseline=RAW))
    for name in (ALONE, ONE, TWO):
        rate = num_images / seconds[name]
        baseline = ONE if name == TWO else None
        rows.append(Measurement(name=name, value=rate, unit="images/s", baseline=baseline))
    print_measurements(f"Building: {num_images} images, {raw_megabytes:.1f} MB of raw files", rows)


def _build_config(
    config: BuildingBenchmarkConfig, root: Path, output: str, *, num_workers: int
) -> BuildConfig:
    lists = Us30kConfig() if config.root else Us30kConfig(validation_lists=[], test_lists=[])
    return BuildConfig(
        source=config.source,
        root=str(root),
        output=output,
        us30k=lists,
        leaks="report",
        num_workers=num_workers,
    )


def _seconds_to_read(files: list[Path]) -> float:
    _forget(files)
    started = time.monotonic()
    for path in files:
        path.read_bytes()
    return time.monotonic() - started


def _forget(files: list[Path]) -> None:
    """Ask the system to drop what it keeps of the files in memory."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _write_pictures(root: Path, *, config: BuildingBenchmarkConfig, folder: Path) -> None:
    side = config.side_pixels
    phantom = PhantomConfig(num_subjects=8, min_size_pixels=side, max_size_pixels=side)
    output = str(folder / "phantom")
    build_corpora(BuildConfig(source="phantom", output=output, phantom=phantom))
    corpus = open_corpus(f"{output}/train")
    dataset = root / "Phantom-SIMULATED"
    for part in (dataset / "img", dataset / "label", root / "MainPatient"):
        part.mkdir(parents=True)
    for number in range(config.num_images):
        sample = corpus.read_flat(number % corpus.num_samples)
        label = np.zeros(sample.size, dtype=np.uint8)
        for thing in sample.objects:
            label[thing.mask()] = 1
        (dataset / f"img/{number}.png").write_bytes(encode_png(sample.image).content)
        (dataset / f"label/{number}.png").write_bytes(encode_png(label).content)
    lines = [f"1/{dataset.name}/{number}\n" for number in range(config.num_images)]
    (root / "MainPatient/train.txt").write_text("".join(lines))
    (root / "MainPatient/class.json").write_text(json.dumps({dataset.name: 2}))


if __name__ == "__main__":
    sys.exit(run_command(BuildingBenchmarkConfig, measure))
