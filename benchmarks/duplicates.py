"""How well and how fast the audit finds near duplicates.

Run `python -m benchmarks.duplicates`, with `corpus=FOLDER` for pictures of your own. First, copies
of every kind are planted in a training corpus whose originals are in a test corpus, and the audit
is asked for them. Then the search for candidates runs on hashes drawn by chance, more and more of
them, in which pairs with some bits changed are planted.
"""

import itertools
import os
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.planted_copies import COPYINGS, copy_sample
from launchers.command_line import run_command
from shards import (
    BuildConfig,
    Corpus,
    PhantomConfig,
    UltrasoundSample,
    build_corpora,
    open_corpus,
    write_corpus,
)
from shards.audit import AuditConfig, audit_corpora
from shards.audit.candidate_pairs import DescriptorTable, find_candidates
from shards.audit.image_descriptors import DESCRIPTOR, HASH_MASK, MAX_BLOBS
from shards.contact_sheet import pick_evenly

from .table import Measurement, print_measurements

PLANTED_SHARE = 0.01
SHARED_BLOBS = 12
CHANGED_BITS = 5


@dataclass(kw_only=True)
class DuplicatesBenchmarkConfig:
    """What is planted, and how far the search grows."""

    corpus: str | None = None
    """Folder or URL of a corpus whose pictures are copied; null simulates one."""

    num_images: int = 100
    """Pictures that are copied, each in every way."""

    num_synthetic_images: int = 300_000
    """Pictures in the largest search; a third and a tenth of them are searched before."""

    num_workers: int = 0
    """Processes that read."""


def measure(config: DuplicatesBenchmarkConfig) -> None:
    """Measure recall and precision on planted copies, then the growth of the search."""
    with tempfile.TemporaryDirectory(prefix="duplicates-benchmark-") as folder:
        corpus = open_corpus(config.corpus or _simulate(Path(folder), config=config))
        print_measurements(
            f"Near duplicates planted in {corpus.url}",
            measure_planted(corpus, folder=Path(folder), config=config),
        )
    sizes = [config.num_synthetic_images // share for share in (10, 3, 1)]
    print_measurements(
        "Search among hashes drawn by chance",
        [row for size in sizes for row in _measure_search(size)],
    )


def measure_planted(
    corpus: Corpus, *, folder: Path, config: DuplicatesBenchmarkConfig
) -> list[Measurement]:
    """Return recall by kind, precision, and the time a picture takes.

    A pair counts as false where the two pictures are neither copies of one picture nor of one
    subject.
    """
    indices = pick_evenly(corpus, num_samples=config.num_images)
    originals = [corpus.read_flat(index) for index in indices]
    generator = np.random.default_rng(0)
    copies = {
        kind: [copy_sample(sample, kind=kind, generator=generator) for sample in originals]
        for kind in COPYINGS
    }
    copied_from = {
        copy.key: (original, kind)
        for kind, some in copies.items()
        for copy, original in zip(some, originals, strict=True)
    }
    everything = itertools.chain.from_iterable(copies.values())
    urls = [
        _write(corpus, samples=samples, split=split, folder=folder)
        for split, samples in (("test", originals), ("train", everything))
    ]
    started = _processor_seconds()
    audit = audit_corpora(
        AuditConfig(
            urls=urls, output=str(folder / "audit"), max_pictures=0, num_workers=config.num_workers
        )
    )
    seconds = _processor_seconds() - started
    keys = [image.key for image in audit.survey.images]
    subjects = {sample.key: (sample.origin.source, sample.origin.subject) for sample in originals}
    subjects |= {copy: subjects[original.key] for copy, (original, _) in copied_from.items()}
    found: Counter[str] = Counter()
    num_true = 0
    for first, second in ((keys[pair.first], keys[pair.second]) for pair in audit.pairs):
        num_true += subjects[first] == subjects[second]
        original, kind = copied_from.get(second, (None, ""))
        found[kind] += original is not None and original.key == first
    return [
        *(
            Measurement(name=f"recall, {kind}", value=found[kind] / len(originals), unit="")
            for kind in COPYINGS
        ),
        Measurement(name="precision", value=num_true / max(len(audit.pairs), 1), unit=""),
        Measurement(name="pairs found", value=len(audit.pairs), unit="pairs"),
        Measurement(name="processor time a picture", value=1e3 * seconds / len(keys), unit="ms"),
    ]


def _write(corpus: Corpus, *, samples: Iterable[UltrasoundSample], split: str, folder: Path) -> str:
    """Write samples of a corpus as another one, and return its URL."""
    by_source = sorted(samples, key=lambda sample: sample.origin.source)
    write_corpus(by_source, str(folder / split), split=split, sources=corpus.manifest.sources)
    return str(folder / split)


def _simulate(folder: Path, *, config: DuplicatesBenchmarkConfig) -> str:
    phantom = PhantomConfig(
        num_subjects=2 * config.num_images,
        frames_per_subject=1,
        min_size_pixels=256,
        max_size_pixels=320,
    )
    output = folder / "phantom"
    build_corpora(BuildConfig(source="phantom", output=str(output), phantom=phantom))
    return str(output / "train")


def _measure_search(num_images: int) -> list[Measurement]:
    table, planted = draw_table(num_images, seed=0)
    started = _processor_seconds()
    found = {(pair.first, pair.second) for pair in find_candidates(table)}
    seconds = _processor_seconds() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    name = f"{num_images:,} pictures"
    return [
        Measurement(name=f"{name}: processor time", value=seconds, unit="s"),
        Measurement(name=f"{name}: peak memory", value=peak, unit="GiB"),
        Measurement(
            name=f"{name}: recall", value=len(planted & found) / max(len(planted), 1), unit=""
        ),
        Measurement(name=f"{name}: chance pairs", value=len(found - planted), unit="pairs"),
    ]


def _processor_seconds() -> float:
    """Return the time of this process and its children: other work changes it little."""
    return sum(os.times()[:4])


def draw_table(num_images: int, *, seed: int) -> tuple[DescriptorTable, set[tuple[int, int]]]:
    """Draw the hashes of pictures, and plant copies that share some blobs, with bits changed.

    Returns:
        The table, and the planted pairs.
    """
    generator = np.random.default_rng(seed)
    num_each = MAX_BLOBS + 1
    descriptors = np.zeros((num_images, num_each), DESCRIPTOR)
    hashes = generator.integers(0, 2**62, descriptors.shape, dtype=np.uint64) & HASH_MASK
    order = generator.permutation(num_images)
    num_planted = max(int(PLANTED_SHARE * num_images), 1)
    planted = set()
    for first, second in order[: 2 * num_planted].reshape(num_planted, 2):
        blobs = 1 + generator.permutation(MAX_BLOBS)[:SHARED_BLOBS]
        bits = generator.integers(0, 62, (SHARED_BLOBS, CHANGED_BITS), dtype=np.uint64)
        changes = np.bitwise_or.reduce(np.uint64(1) << bits, axis=1)
        hashes[second, blobs] = hashes[first, blobs] ^ changes
        planted.add((int(min(first, second)), int(max(first, second))))
    descriptors["hash"] = hashes
    table = DescriptorTable(
        descriptors=descriptors.ravel(),
        starts=np.arange(num_images + 1) * num_each,
        groups=np.arange(num_images, dtype=np.int32),
        splits=generator.integers(0, 2, num_images, dtype=np.int8),
    )
    return table, planted


def main() -> int:
    """Run the benchmark and return its exit code."""
    return run_command(DuplicatesBenchmarkConfig, measure)


if __name__ == "__main__":
    sys.exit(main())
