"""Every shard as a ring of its samples, whole or with a cap on the frames of one sequence.

A ring is an endless sequence of turns; after `num_samples` of them it begins anew. Without a cap a
turn stands for one sample of the shard for ever. With one, each round takes at most N frames of a
sequence: the next N of all its frames, in a random order of the sequence's own.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .stream_source import Integers

RandomWords = Callable[..., np.ndarray[Any, np.dtype[np.uint64]]]
"""(count, *purpose) -> 64-bit words that depend on the plan and the purpose alone."""

_RING_ORDER, _SEQUENCE_ORDER = 2, 3
"""Purposes of words; 0 and 1 are the plan's own."""


class ShardRings(Protocol):
    """The rings of all shards of a plan."""

    num_samples: Integers
    """Turns of one round, for each shard."""

    def samples(
        self, shard: int, *, first_turn: int, length: int, random_words: RandomWords
    ) -> Integers:
        """Return the samples of some turns, at most one round, as places in the flat order."""
        ...


class WholeShards:
    """Rings in which every sample has one turn a round."""

    def __init__(self, samples_per_shard: Integers, *, starts: Integers) -> None:
        self.num_samples = samples_per_shard
        self._starts = starts

    def samples(
        self, shard: int, *, first_turn: int, length: int, random_words: RandomWords
    ) -> Integers:
        """Return the samples of some turns; see `ShardRings`."""
        num_samples = int(self.num_samples[shard])
        places = np.arange(first_turn, first_turn + length) % num_samples
        if length < num_samples:
            # Only a part is taken: not neighbours, which often show one patient, but a random part.
            words = random_words(num_samples, _RING_ORDER, shard)
            places = np.argsort(words, kind="stable")[places]
        return int(self._starts[shard]) + places


class CappedSequences:
    """Rings in which a sequence has at most N turns a round, all of them its first frame's shard's.

    So a sequence that goes on in the next shard is not taken twice, and its frames come equally
    often: each N times in as many rounds as the sequence has frames.
    """

    def __init__(
        self,
        samples_per_shard: Integers,
        *,
        sequences: Integers,
        max_per_sequence: int,
    ) -> None:
        """Number the sequences in the order of their first frames.

        Args:
            samples_per_shard: Of all corpora, one after the other.
            sequences: For each sample, a number that its sequence's frames have in common.
            max_per_sequence: Frames of one sequence in a round.
        """
        _, firsts, sequence = np.unique(sequences, return_index=True, return_inverse=True)
        by_first_frame = np.argsort(firsts)
        number = np.empty_like(by_first_frame)
        number[by_first_frame] = np.arange(len(number))
        frames = np.argsort(number[sequence], kind="stable")
        num_frames = np.bincount(number[sequence])
        ends = np.cumsum(num_frames)
        homes = np.searchsorted(
            np.cumsum(samples_per_shard), frames[ends - num_frames], side="right"
        )
        num_shards = len(samples_per_shard)
        taken = np.minimum(num_frames, max_per_sequence)
        self.num_samples = np.bincount(homes, taken, minlength=num_shards).astype(np.int64)
        self._max_per_sequence = max_per_sequence
        self._first_sequence = np.searchsorted(homes, np.arange(num_shards + 1))
        self._first_frame = np.concatenate([[0], ends])[self._first_sequence]
        # What is kept for each image and each sequence takes as few bytes as hold it.
        self._frames = _narrowed(frames)
        self._num_frames = _narrowed(num_frames)

    def samples(
        self, shard: int, *, first_turn: int, length: int, random_words: RandomWords
    ) -> Integers:
        """Return the samples of some turns; see `ShardRings`."""
        of_shard = slice(self._first_sequence[shard], self._first_sequence[shard + 1])
        num_frames = self._num_frames[of_shard].astype(np.int64)
        taken = np.minimum(num_frames, self._max_per_sequence)
        words = random_words(int(self.num_samples[shard]), _RING_ORDER, shard)
        rounds, places = np.divmod(np.arange(first_turn, first_turn + length), len(words))
        places = np.argsort(words, kind="stable")[places]
        ends = np.cumsum(taken)
        sequence = np.searchsorted(ends, places, side="right")
        turns = rounds * taken[sequence] + places - (ends - taken)[sequence]
        starts = np.cumsum(num_frames) - num_frames
        frames = starts[sequence] + turns % num_frames[sequence]
        return self._shuffled_frames(shard, num_frames=num_frames, random_words=random_words)[
            frames
        ]

    def _shuffled_frames(
        self, shard: int, *, num_frames: Integers, random_words: RandomWords
    ) -> Integers:
        """Return the frames of a shard's sequences, those of each in a random order."""
        first = int(self._first_frame[shard])
        words = random_words(int(num_frames.sum()), _SEQUENCE_ORDER, shard)
        order = np.lexsort((words, np.repeat(np.arange(len(num_frames)), num_frames)))
        return self._frames[first : first + len(words)][order].astype(np.int64)


def _narrowed(numbers: Integers) -> np.ndarray:
    """Return numbers from 0 on in the smallest type that holds them all."""
    return numbers.astype(np.min_scalar_type(numbers.max(initial=0)))


def hash_of_sequences(sequences: np.ndarray[Any, np.dtype[np.uint64]]) -> str:
    """Return the sha256 by which a plan remembers which samples belong together."""
    return hashlib.sha256(np.ascontiguousarray(sequences, dtype="<u8").tobytes()).hexdigest()
