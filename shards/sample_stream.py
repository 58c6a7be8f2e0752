"""A torch loader over a stream plan; the only file of this package that imports torch."""

import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .loader_workers import fork_server, prepare_worker
from .sample import UltrasoundSample
from .shard_reader import Corpus
from .step_slots import micro_batches, num_micro_batches, slots_of_rank
from .stream_plan import StreamPlan

ItemT = TypeVar("ItemT")
BatchT = TypeVar("BatchT")

WORKER_TIMEOUT_SECONDS = 600.0
"""A worker that gives nothing for so long is stuck: reading times out and retries much sooner."""


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
    ) -> None:
        """Remember what to read and in which order; nothing is opened yet.

        Args:
            corpora: In the order of the plan's sources.
            plan: Says which sample comes at which position.
            transform: Makes an item from a sample and its position in the sequence. The position is
                its only source of chance, so that a resumed run draws what the first would have.
        """
        self._corpora = tuple(corpora)
        self._plan = plan
        self.transform = transform

    def __getitem__(self, position: int) -> ItemT:
        """Return the item at a position of the sequence.

        Raises:
            SampleError: If the sample cannot be read or transformed.
        """
        source, shard, place = self._plan.address(position)
        corpus = self._corpora[source]
        where = f"sample {place}"
        try:
            sample = corpus.read(shard, place)
            where = sample.key
            return self.transform(sample, position)
        except Exception as error:
            name = corpus.manifest.shards[shard].name
            raise SampleError(
                f"{corpus.url}, shard {name}, {where}: {type(error).__name__}: {error}"
            ) from error


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
        self._rank = rank
        self._num_ranks = num_ranks
        self._first_step = first_step

    def __iter__(self) -> Iterator[list[int]]:
        """Yield micro-batches forever, `micro_batches_per_step` for each optimizer step."""
        step = self._first_step
        while True:
            slots = slots_of_rank(
                step,
                global_batch_size=self._global_batch_size,
                rank=self._rank,
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

    def __init__(self, loader: "DataLoader[BatchT | _Failure]") -> None:
        self._loader = loader

    def __iter__(self) -> Generator[BatchT]:
        """Start the workers and yield batches; closing or dropping the iterator stops them.

        Raises:
            SampleError: At the place in the order where the sample would have come.
        """
        for batch in self._loader:
            if isinstance(batch, _Failure):
                error = SampleError(batch.message)
                error.add_note(batch.traceback)
                raise error
            yield batch


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
        timeout=WORKER_TIMEOUT_SECONDS if num_workers else 0,
        worker_init_fn=prepare_worker,
        multiprocessing_context=fork_server(preload=preload) if num_workers else None,
        generator=torch.Generator(),  # its own, so that making a loader draws no global number
        prefetch_factor=prefetch_factor if num_workers else None,
    )
    return StreamLoader(loader)


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """An exception on its way out of a worker: torch would bury its message in a traceback."""

    message: str
    traceback: str


class _MicroBatchDataset(Dataset[BatchT | _Failure], Generic[ItemT, BatchT]):
    """A map from the positions of a micro-batch to the batch."""

    def __init__(
        self, stream: SampleStream[ItemT], collate: Callable[[list[ItemT]], BatchT]
    ) -> None:
        self._stream = stream
        self._collate = collate

    def __getitem__(self, positions: list[int]) -> BatchT | _Failure:
        try:
            return self._collate([self._stream[position] for position in positions])
        except SampleError as error:
            return _Failure(message=str(error), traceback=traceback.format_exc())


def _unchanged(batch: BatchT) -> BatchT:
    """Stand in for torch's conversion of what a dataset returns."""
    return batch
