"""Reading, decoding and packing of samples, in this process or in several others.

What workers are sent, a `PlannedSample`, can be pickled. They only pack; what
they packed comes back in the order of the plan, and one process writes it. So their number changes
nothing in what is written, and a split with few shards is built by all of them.
"""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.manifest import SourceDescription
from shards.sample import UltrasoundSample
from shards.shard_writer import PackedSample, pack_sample
from shards.sources import PlannedSample
from shards.training_size import shrink_sample
from shards.worker_pool import worker_pool

from .plan import PlannedShard

MIN_CHUNK_SAMPLES = 8
MAX_CHUNK_SAMPLES = 32
CHUNKS_AHEAD_PER_WORKER = 4
"""With the samples in a chunk, what bounds the memory while the writer waits for a disk."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Neighbours in a planned shard: what a worker is given at a time."""

    samples: tuple[PlannedSample, ...]
    description: SourceDescription
    max_side_pixels: int | None


@dataclass(frozen=True, kw_only=True)
class PackedChunk:
    """What came of a chunk; a sample that is broken is a problem in the report instead."""

    samples: tuple[PackedSample, ...]
    num_planned: int
    report: BuildReport


def cut_chunks(shard: PlannedShard, *, config: BuildConfig) -> list[Chunk]:
    """Cut a shard into chunks; frames of one file stay together, so that one worker opens it."""
    chunks: list[list[PlannedSample]] = []
    for planned in shard.samples:
        last = chunks[-1] if chunks else []
        is_same_file = bool(last) and last[-1].where == planned.where
        if not last or len(last) >= (MAX_CHUNK_SAMPLES if is_same_file else MIN_CHUNK_SAMPLES):
            chunks.append([])
        chunks[-1].append(planned)
    return [
        Chunk(
            samples=tuple(some),
            description=shard.description,
            max_side_pixels=config.max_side_pixels,
        )
        for some in chunks
    ]


@contextlib.contextmanager
def packed_in_order(
    chunks: Iterable[Chunk], *, num_workers: int
) -> Iterator[Iterator[PackedChunk]]:
    """Give what comes of the chunks, in their order; leaving the block early ends the workers.

    Raises:
        RuntimeError: A worker was killed.
    """
    if num_workers == 0:
        yield map(pack_chunk, chunks)
        return
    try:
        with worker_pool(num_workers) as pool:
            yield _in_order(pool, chunks, num_ahead=CHUNKS_AHEAD_PER_WORKER * num_workers)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A worker was killed, most often for want of memory. Lower num_workers, and give "
            "the same command again: it goes on from the shards that are finished."
        ) from error


def pack_chunk(chunk: Chunk) -> PackedChunk:
    """Read and pack samples; what is broken or worth a note goes into the report."""
    report = BuildReport()
    packed = []
    for planned in chunk.samples:
        sample = _read(planned, report=report)
        if sample is None:
            continue
        if chunk.max_side_pixels is not None:
            sample = shrink_sample(sample, max_side_pixels=chunk.max_side_pixels)
        for note in sample.notes:
            report.note(note)
        if not sample.objects:
            report.note("images without an object")
        if not sample.origin.subject_is_known:
            report.note("images whose subject is unknown")
        packed.append(pack_sample(sample, description=chunk.description))
    return PackedChunk(samples=tuple(packed), num_planned=len(chunk.samples), report=report)


def _read(planned: PlannedSample, *, report: BuildReport) -> UltrasoundSample | None:
    try:
        return planned.read()
    except InputError as problem:
        report.add(problem)
    except ValueError as error:
        report.add(InputError("unreadable or unsupported file", str(error)))
    return None


def _in_order(
    pool: ProcessPoolExecutor, chunks: Iterable[Chunk], *, num_ahead: int
) -> Iterator[PackedChunk]:
    waiting: deque[Future[PackedChunk]] = deque()
    for chunk in chunks:
        waiting.append(pool.submit(pack_chunk, chunk))
        if len(waiting) > num_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
