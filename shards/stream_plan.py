"""The order of training samples: an endless sequence that is a pure function of its ingredients.

Every shard is a ring of its samples. Epoch e takes the next `num_samples * weight` samples of each
ring, rounded so that nothing is lost over the epochs: a whole weight W means "each sample W times
in every epoch", a weight P / Q means "each sample P times in every Q epochs, as evenly as can be".
One turn of a ring, or the part of it that an epoch takes, is a *visit*. The visits are shuffled so
that those of one source, and of one shard, are spread over the epoch; they are cut into blocks, and
all samples of a block are shuffled once more.

Random numbers are raw words of PCG64, sorted by a stable sort: numpy promises to keep the words but
not `Generator.permutation`, and a run must resume after an upgrade of numpy.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from .shard_rings import CappedSequences, ShardRings, WholeShards, hash_of_sequences
from .stream_source import Integers, StreamSource, weights_of_shards

STREAM_FORMAT_VERSION = 1
"""Raised whenever the same ingredients would give another sequence."""

_VISIT_ORDER, _BLOCK_ORDER = range(2)
"""Purposes of random words; the rings have others."""


class SampleAddress(NamedTuple):
    """Where one sample of the sequence lies."""

    source: int
    """Place of the corpus in the plan's sources."""

    shard: int
    """Place of the shard in the corpus's manifest."""

    sample: int
    """Place of the sample in the shard."""


@dataclass(frozen=True, kw_only=True)
class _Epoch:
    """The visits of one epoch in the order they are made, and the blocks that they are cut into."""

    number: int
    first_position: int
    shards: Integers
    first_turns: Integers
    lengths: Integers
    block_bounds: Integers
    block_starts: Integers


@dataclass(frozen=True, kw_only=True)
class _Block:
    """The samples of a run of consecutive positions, as places in the flat order of all shards."""

    first_position: int
    samples: Integers


class StreamPlan:
    """An endless order of samples in which any position is found in constant time.

    Finding a position costs at most one ordering of an epoch's shards and one of a block's samples;
    both are kept until a position outside them is asked for.
    """

    def __init__(
        self,
        sources: Sequence[StreamSource],
        *,
        seed: int,
        shards_per_block: int = 16,
        mixing_temperature: float | None = None,
        max_per_sequence: int | None = None,
    ) -> None:
        """Check the sources and lay out their shards.

        Args:
            sources: The corpora in the order of `data.train`.
            seed: Another seed gives another order.
            shards_per_block: Shards whose samples are mixed, and so held open, at a time. Larger
                mixes better; smaller reads fewer shards at once.
            mixing_temperature: Evens out the sizes of the datasets; None leaves them as they are.
            max_per_sequence: Frames of one sequence that come each time its dataset does; None
                takes all. Each source then has to tell its `sequences`.
        """
        if shards_per_block < 1:
            raise ValueError(f"shards_per_block must be at least 1, got {shards_per_block}.")
        self._shards_per_block = shards_per_block
        self.identity = _identity(
            sources,
            seed=seed,
            shards_per_block=shards_per_block,
            mixing_temperature=mixing_temperature,
            max_per_sequence=max_per_sequence,
        )
        counts = [len(source.samples_per_shard) for source in sources]
        self._source_starts = np.concatenate([[0], np.cumsum(counts)])
        stored = np.array(
            [count for source in sources for count in source.samples_per_shard], dtype=np.int64
        )
        self._shard_starts = np.cumsum(stored) - stored
        self._rings = _rings(
            sources,
            stored=stored,
            starts=self._shard_starts,
            max_per_sequence=max_per_sequence,
        )
        self._num_samples = self._rings.num_samples
        weights, of_shard = weights_of_shards(
            sources, num_samples=self._num_samples, temperature=mixing_temperature
        )
        self._numerators = np.array([weight.numerator for weight in weights])[of_shard]
        self._denominators = np.array([weight.denominator for weight in weights])[of_shard]
        # Shards that are too small for a whole share of an epoch take turns: each starts elsewhere
        # in the rounding, spread by the golden ratio.
        spread = np.arange(sum(counts)) * 2_654_435_769 % 2**32
        self._phases = spread * self._denominators // 2**32
        samples_of_weights = np.bincount(of_shard, self._num_samples, minlength=len(weights))
        self._samples_per_epoch = sum(
            (
                weight * int(count)
                for weight, count in zip(weights, samples_of_weights, strict=True)
            ),
            start=Fraction(0),
        )
        self._entropy = int(self.fingerprint, 16)
        self._epoch: _Epoch | None = None
        self._block: _Block | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of `identity`: two plans with the same one give the same sequence."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @property
    def epoch_length(self) -> float:
        """Mean number of samples in an epoch; with whole weights every epoch has exactly this."""
        return float(self._samples_per_epoch)

    def start_of_epoch(self, epoch: int) -> int:
        """Return the position of an epoch's first sample."""
        return int(self._turns_before(epoch).sum())

    def epoch_at(self, position: int) -> int:
        """Return the number of the epoch that holds a position."""
        # The start of an epoch is its number times the mean length, give or take a sample a shard.
        num_shards = len(self._num_samples)
        low = max(0, math.floor((position - num_shards) / self._samples_per_epoch))
        high = math.ceil((position + num_shards) / self._samples_per_epoch) + 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.start_of_epoch(middle) <= position:
                low = middle
            else:
                high = middle
        return low

    def address(self, position: int) -> SampleAddress:
        """Return where the sample at a position of the sequence lies.

        Args:
            position: Samples that come before it, from 0.
        """
        block = self._block
        if block is None or not 0 <= position - block.first_position < len(block.samples):
            block = self._block = self._lay_out_block(position)
        sample = int(block.samples[position - block.first_position])
        shard = int(np.searchsorted(self._shard_starts, sample, side="right")) - 1
        source = int(np.searchsorted(self._source_starts, shard, side="right")) - 1
        return SampleAddress(
            source=source,
            shard=shard - int(self._source_starts[source]),
            sample=sample - int(self._shard_starts[shard]),
        )

    def block_at(self, position: int) -> tuple[range, list[tuple[int, int]]]:
        """Return the positions of the block that holds one, and the (source, shard) in it."""
        epoch, block = self._find_block(position)
        visits = slice(epoch.block_bounds[block], epoch.block_bounds[block + 1])
        shards = np.unique(epoch.shards[visits])
        sources = np.searchsorted(self._source_starts, shards, side="right") - 1
        places = shards - self._source_starts[sources]
        positions = range(int(epoch.block_starts[block]), int(epoch.block_starts[block + 1]))
        return positions, list(zip(sources.tolist(), places.tolist(), strict=True))

    def _turns_before(self, epoch: int) -> Integers:
        """Return how many samples of each shard's ring the epochs before this one take."""
        turns = self._num_samples * epoch
        whole, rest = np.divmod(turns, self._denominators)
        return (
            whole * self._numerators
            + (rest * self._numerators + self._phases) // self._denominators
        )

    def _lay_out_epoch(self, number: int) -> _Epoch:
        """Take every shard's share of an epoch as visits, and put these in order."""
        before = self._turns_before(number)
        taken = self._turns_before(number + 1) - before
        visits = -(-taken // np.maximum(self._num_samples, 1))
        shards = np.repeat(np.arange(len(visits)), visits)
        ordinals = np.arange(len(shards)) - np.repeat(np.cumsum(visits) - visits, visits)
        order = self._order_visits(shards, shares=(ordinals, visits[shards]), epoch=number)
        shards = shards[order]
        done = ordinals[order] * self._num_samples[shards]
        lengths = np.minimum(self._num_samples[shards], taken[shards] - done)

        num_blocks = -(-len(shards) // self._shards_per_block)
        block_bounds = np.arange(num_blocks + 1) * len(shards) // num_blocks
        positions = np.concatenate([[0], np.cumsum(lengths)])
        first_position = int(before.sum())
        return _Epoch(
            number=number,
            first_position=first_position,
            shards=shards,
            first_turns=before[shards] + done,
            lengths=lengths,
            block_bounds=block_bounds,
            block_starts=first_position + positions[block_bounds],
        )

    def _order_visits(
        self, shards: Integers, *, shares: tuple[Integers, Integers], epoch: int
    ) -> Integers:
        """Return an order in which a shard's visits, and a source's, are spread over the epoch.

        Args:
            shards: Of each visit, one source after the other.
            shares: Of each visit, its ordinal among its shard's visits, and how many these are.
            epoch: Another epoch has another order.
        """
        chances = self._random_words(2 * len(shards), _VISIT_ORDER, epoch) * 2.0**-64
        within_source, among_sources = chances[: len(shards)], chances[len(shards) :]
        ordinals, visits_of_shard = shares
        sources = np.searchsorted(self._source_starts, shards, side="right") - 1
        order = np.lexsort(((ordinals + within_source) / visits_of_shard, sources))
        visits_of_source = np.bincount(sources)
        firsts = np.cumsum(visits_of_source) - visits_of_source
        ranks = np.arange(len(shards)) - firsts[sources]
        keys = (ranks + among_sources) / visits_of_source[sources]
        return order[np.argsort(keys, kind="stable")]

    def _find_block(self, position: int) -> tuple[_Epoch, int]:
        """Return the epoch that holds a position, and the number of its block in it."""
        number = self.epoch_at(position)
        if self._epoch is None or self._epoch.number != number:
            self._epoch = self._lay_out_epoch(number)
        block = int(np.searchsorted(self._epoch.block_starts, position, side="right")) - 1
        return self._epoch, block

    def _lay_out_block(self, position: int) -> _Block:
        """Order the samples of the block that holds a position."""
        epoch, block = self._find_block(position)
        visits = slice(epoch.block_bounds[block], epoch.block_bounds[block + 1])
        samples = np.concatenate(
            [
                self._rings.samples(
                    int(shard),
                    first_turn=int(first_turn),
                    length=int(length),
                    random_words=self._random_words,
                )
                for shard, first_turn, length in zip(
                    epoch.shards[visits],
                    epoch.first_turns[visits],
                    epoch.lengths[visits],
                    strict=True,
                )
            ]
        )
        words = self._random_words(len(samples), _BLOCK_ORDER, epoch.number, block)
        return _Block(
            first_position=int(epoch.block_starts[block]),
            samples=samples[np.argsort(words, kind="stable")],
        )

    def _random_words(self, count: int, *purpose: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Return 64-bit words that depend on the plan and the purpose alone."""
        seeds = np.random.SeedSequence([self._entropy, *purpose])
        return np.asarray(np.random.PCG64(seeds).random_raw(count), dtype=np.uint64)


def _rings(
    sources: Sequence[StreamSource],
    *,
    stored: Integers,
    starts: Integers,
    max_per_sequence: int | None,
) -> ShardRings:
    """Return the rings of all shards, capped where that is asked for."""
    if max_per_sequence is None:
        return WholeShards(stored, starts=starts)
    numbers, num_sequences = [], 0
    for known in _sequences(sources):
        # Sequences of two corpora are two, even where they are called alike.
        distinct, sequence = np.unique(known, return_inverse=True)
        numbers.append(sequence + num_sequences)
        num_sequences += len(distinct)
    return CappedSequences(
        stored, sequences=np.concatenate(numbers), max_per_sequence=max_per_sequence
    )


def _sequences(sources: Sequence[StreamSource]) -> list[np.ndarray[Any, np.dtype[np.uint64]]]:
    known = [source.sequences for source in sources if source.sequences is not None]
    assert len(known) == len(sources), "a cap needs the sequences of every source"
    return known


def _identity(
    sources: Sequence[StreamSource], *, max_per_sequence: int | None, **options: object
) -> dict[str, Any]:
    """Return what decides the order; what is not asked for takes no part in it."""
    described = [
        {"content_hash": source.content_hash, "weight": float(source.weight)} for source in sources
    ]
    if max_per_sequence is not None:
        for entry, sequences in zip(described, _sequences(sources), strict=True):
            entry["sequences_sha256"] = hash_of_sequences(sequences)
    options = {"max_per_sequence": max_per_sequence, **options}
    asked_for = {name: value for name, value in options.items() if value is not None}
    return {"stream_format_version": STREAM_FORMAT_VERSION, **asked_for, "sources": described}
