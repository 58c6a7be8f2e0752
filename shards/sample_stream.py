"""A torch loader over a stream plan; the only file of this package that imports torch."""

import contextlib
import copy
import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .loader_workers import fork_server, prepare_worker
from .read_report import ReadReport
from .reading_config import LONGEST_BATCH_SECONDS
from .sample import UltrasoundSample
from .shard_prefetch import ShardPrefetch
from .shard_reader import BrokenSampleError, Corpus
from .step_slots import micro_batches, num_micro_batches, slots_of_rank
from .stream_plan import StreamPlan

ItemT = TypeVar("ItemT")
BatchT = TypeVar("BatchT")

LATE_SECONDS = 30.0
"""A batch that lets the training wait for so long is logged, long before other ranks give up."""

_logger = logging.getLogger(__name__)


class SampleError(RuntimeError):
    """A sample could not be read or transformed; the message names its shard and key."""


class SampleStream(Dataset[ItemT], Generic[ItemT]):
    """A map from positions of the endless sequence to transformed samples."""

    def __init__(
        self,
        corpora: Sequence[Corpus],
        plan: StreamPlan,
        *,
        transform: Callable[[UltrasoundSample, int], ItemT],
        replaces_broken: bool = False,
    ) -> None:
        """Remember what to read and in which order; nothing is opened yet.

        Args:
            corpora: In the order of the plan's sources.
            plan: Says which sample comes at which position.
            transform: Makes an item from a sample and its position in the sequence. The position is
                its only source of chance, so that a resumed run draws what the first would have.
            replaces_broken: Whether the next sample of its shard stands in for one that is damaged
                in its shard; else it is an error.
        """
        # Of its own: what is counted in them is what the stream takes, and nothing else.
        self._corpora = tuple(copy.copy(corpus) for corpus in corpora)
        self._plan = plan
        self.transform = transform
        self._replaces_broken = replaces_broken
        self._broken: list[str] = []
        self._told: Counter[str] = Counter()
        self._looks_ahead = any(corpus.has_cache for corpus in self._corpora)
        self._prefetch: ShardPrefetch | None = None  # begins in the process that reads

    def __getitem__(self, position: int) -> ItemT:
        """Return the item at a position of the sequence.

        Raises:
            SampleError: If the sample cannot be read or transformed.
        """
        self._look_ahead(position)
        source, shard, place = self._plan.address(position)
        corpus = self._corpora[source]
        where = f"sample {place}"
        try:
            sample = self._read(corpus, shard=shard, place=place)
            where = sample.key
            return self.transform(sample, position)
        except Exception as error:
            name = corpus.manifest.shards[shard].name
            raise SampleError(
                f"{corpus.url}, shard {name}, {where}: {type(error).__name__}: {error}"
            ) from error

    def take_report(self) -> ReadReport:
        """Return what reading took in this process since the last call."""
        corpora = [*self._corpora, *(self._prefetch.corpora if self._prefetch else ())]
        # Copied first: another thread may be counting.
        counts = sum((Counter(corpus.counts) for corpus in corpora), Counter[str]())
        report = ReadReport(counts=counts - self._told, broken=tuple(self._broken))
        self._told = counts
        self._broken.clear()
        return report

    def close(self) -> None:
        """End what runs beside the reading in this process."""
        if self._prefetch is not None:
            self._prefetch.close()
            self._prefetch = None

    def _look_ahead(self, position: int) -> None:
        if self._looks_ahead:
            if self._prefetch is None:
                self._prefetch = ShardPrefetch(self._corpora, self._plan)
            self._prefetch.reach(position)

    def _read(self, corpus: Corpus, *, shard: int, place: int) -> UltrasoundSample:
        """Return the sample, or the next of its shard that is whole.

        Which one that is depends on the shard's bytes alone: it is the same for any rank, worker
        and run. What a store does not give is no damage, and always an error.
        """
        if not self._replaces_broken:
            return corpus.read(shard, place)
        num_samples = corpus.samples_per_shard[shard]
        for candidate in (*range(place, num_samples), *range(place)):
            try:
                return corpus.read(shard, candidate)
            except BrokenSampleError as error:
                name = corpus.manifest.shards[shard].name
                self._broken.append(f"{name}, sample {candidate}: {error}")
        raise BrokenSampleError(f"no sample of the shard is whole; the last: {self._broken[-1]}")


class MicroBatchSampler(Sampler[list[int]]):
    """The endless micro-batches of one rank, as positions of the sequence."""

    def __init__(
        self,
        *,
        global_batch_size: int,
        micro_batch_size: int,
        rank: int = 0,
        num_ranks: int = 1,
        first_step: int = 0,
    ) -> None:
        """Check that the sizes fit each other.

        Args:
            global_batch_size: Samples of one optimizer step over all ranks.
            micro_batch_size: Samples of one forward pass on one rank.
            rank: This process.
            num_ranks: Processes that train together.
            first_step: Optimizer steps already taken, from which to go on.
        """
        self.micro_batches_per_step = num_micro_batches(
            global_batch_size=global_batch_size,
            micro_batch_size=micro_batch_size,
            num_ranks=num_ranks,
        )
        self._global_batch_size = global_batch_size
        self._micro_batch_size = micro_batch_size
        self.rank = rank
        self._num_ranks = num_ranks
        self._first_step = first_step

    def __iter__(self) -> Iterator[list[int]]:
        """Yield micro-batches forever, `micro_batches_per_step` for each optimizer step."""
        step = self._first_step
        while True:
            slots = slots_of_rank(
                step,
                global_batch_size=self._global_batch_size,
                rank=self.rank,
                num_ranks=self._num_ranks,
            )
            for positions in micro_batches(slots, micro_batch_size=self._micro_batch_size):
                yield list(positions)
            step += 1


class StreamLoader(Generic[BatchT]):
    """Endless batches of one rank, in the order of the plan for any number of workers.

    It holds a torch DataLoader and is none on purpose: `accelerator.prepare` would share out a
    DataLoader over the ranks once more and lose samples in silence; it leaves this one alone.
    """

    def __init__(
        self,
        loader: "DataLoader[_Delivery[BatchT] | _Failure]",
        *,
        close: Callable[[], None],
        rank: int,
    ) -> None:
        """Wrap a torch loader; `make_stream_loader` is the way in."""
        self._loader = loader
        self._close = close
        self._rank = rank
        self._report = ReadReport()

    def __iter__(self) -> Generator[BatchT]:
        """Start the workers and yield batches; closing or dropping the iterator stops them.

        Raises:
            SampleError: At the place in the order where the sample would have come, or when no
                batch comes at all.
        """
        deliveries = iter(self._loader)
        late_log = _LateLog(self._rank)
        try:
            while True:
                delivery = self._next(deliveries, late_log)
                if isinstance(delivery, _Failure):
                    error = SampleError(delivery.message)
                    error.add_note(delivery.traceback)
                    raise error
                self._report += delivery.report
                yield delivery.batch
        finally:
            late_log.close()
            del deliveries  # ends the workers, though an error's traceback keeps this frame
            self._close()

    def take_report(self) -> ReadReport:
        """Return what it took to read the batches since the last call."""
        report, self._report = self._report, ReadReport()
        return report

    def _next(
        self, deliveries: "Iterator[_Delivery[BatchT] | _Failure]", late_log: "_LateLog"
    ) -> "_Delivery[BatchT] | _Failure":
        try:
            with late_log.waiting():
                return next(deliveries)
        except RuntimeError as error:
            if "timed out" not in str(error):
                raise
            raise SampleError(
                f"Rank {self._rank} got no batch for {LONGEST_BATCH_SECONDS:.0f} s. Its workers "
                "have logged what they waited for; if they have not, the transform may hang."
            ) from error


def make_stream_loader(
    stream: SampleStream[ItemT],
    sampler: MicroBatchSampler,
    *,
    num_workers: int,
    collate: Callable[[list[ItemT]], BatchT],
    prefetch_factor: int = 4,
) -> StreamLoader[BatchT]:
    """Return the loader of one rank.

    Whole micro-batches go to the workers in turn, so the order does not depend on their number. The
    batches are pinned where there is a CUDA device; a batch type of one's own needs `pin_memory`.

    Args:
        stream: Where the samples come from.
        sampler: Which of them this rank takes, from which step on.
        num_workers: Processes that read and transform; 0 does it in this process.
        collate: Makes a batch of a micro-batch's items. Picklable, as the stream's transform.
        prefetch_factor: Micro-batches that each worker prepares ahead.
    """
    preload = [__name__, stream.transform.__module__, collate.__module__]
    loader = DataLoader(
        _MicroBatchDataset(stream, collate),
        batch_size=None,
        sampler=sampler,
        collate_fn=_unchanged,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        timeout=LONGEST_BATCH_SECONDS if num_workers else 0,
        worker_init_fn=prepare_worker,
        multiprocessing_context=fork_server(preload=preload) if num_workers else None,
        generator=torch.Generator(),  # its own, so that making a loader draws no global number
        prefetch_factor=prefetch_factor if num_workers else None,
    )
    return StreamLoader(loader, close=stream.close, rank=sampler.rank)


class _Delivery(NamedTuple, Generic[BatchT]):
    """A batch and what reading it took; a tuple, since torch pins what is in tuples."""

    batch: BatchT
    report: ReadReport


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """An exception on its way out of a worker: torch would bury its message in a traceback."""

    message: str
    traceback: str


class _MicroBatchDataset(Dataset[_Delivery[BatchT] | _Failure], Generic[ItemT, BatchT]):
    """A map from the positions of a micro-batch to the batch."""

    def __init__(
        self, stream: SampleStream[ItemT], collate: Callable[[list[ItemT]], BatchT]
    ) -> None:
        self._stream = stream
        self._collate = collate

    def __getitem__(self, positions: list[int]) -> _Delivery[BatchT] | _Failure:
        try:
            batch = self._collate([self._stream[position] for position in positions])
            return _Delivery(batch, self._stream.take_report())
        except SampleError as error:
            return _Failure(message=str(error), traceback=traceback.format_exc())


class _LateLog:
    """Logs once for every batch that is long in coming, while it still is.

    One thread looks now and then: a timer for each batch cost a tenth of reading a sample.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._asked_at: float | None = None
        self._is_over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark the inside of the `with` as waiting for a batch."""
        self._asked_at = time.monotonic()
        try:
            yield
        finally:
            self._asked_at = None

    def close(self) -> None:
        """End the thread."""
        self._is_over.set()

    def _watch(self) -> None:
        told_of: float | None = None
        while not self._is_over.wait(LATE_SECONDS / 10):
            asked_at = self._asked_at
            if asked_at is None or asked_at == told_of:
                continue
            if time.monotonic() - asked_at < LATE_SECONDS:
                continue
            told_of = asked_at
            message = "Rank %d has waited %.0f s for a batch; after %.0f s the run stops."
            _logger.warning(message, self._rank, LATE_SECONDS, LONGEST_BATCH_SECONDS)


def _unchanged(batch: BatchT) -> BatchT:
    """Stand in for torch's conversion of what a dataset returns."""
    return batch
