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
from typing import Any, NamedTuple, TypeAlias

import numpy as np

STREAM_FORMAT_VERSION = 1
"""Raised whenever the same ingredients would give another sequence."""

SMALLEST_WEIGHT = Fraction(1, 1_000_000)
LARGEST_WEIGHT = Fraction(10_000)
_VISIT_ORDER, _BLOCK_ORDER, _RING_ORDER = range(3)

_Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True)
class StreamSource:
    """What the plan needs to know about one corpus."""

    content_hash: str
    """Hash of the corpus's manifest: another content is another sequence."""

    weight: float
    """How often each sample comes in an epoch; 0.5 is once in two epochs."""

    samples_per_shard: tuple[int, ...]
    """In the manifest's order."""


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
    shards: _Integers
    first_turns: _Integers
    lengths: _Integers
    block_bounds: _Integers
    block_starts: _Integers


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Flat shard and sample of a run of consecutive positions."""

    first_position: int
    shards: _Integers
    samples: _Integers


class StreamPlan:
    """An endless order of samples in which any position is found in constant time.

    Finding a position costs at most one ordering of an epoch's shards and one of a block's samples;
    both are kept until a position outside them is asked for.
    """

    def __init__(
        self, sources: Sequence[StreamSource], *, seed: int, shards_per_block: int = 16
    ) -> None:
        """Check the sources and lay out their shards.

        Args:
            sources: The corpora in the order of `data.train`.
            seed: Another seed gives another order.
            shards_per_block: Shards whose samples are mixed, and so held open, at a time. Larger
                mixes better; smaller reads fewer shards at once.
        """
        if shards_per_block < 1:
            raise ValueError(f"shards_per_block must be at least 1, got {shards_per_block}.")
        weights = _checked_weights(sources)
        self._sources = tuple(sources)
        self._seed = seed
        self._shards_per_block = shards_per_block
        counts = [len(source.samples_per_shard) for source in sources]
        self._source_starts = np.concatenate([[0], np.cumsum(counts)])
        self._num_samples = np.array(
            [count for source in sources for count in source.samples_per_shard], dtype=np.int64
        )
        self._numerators = np.repeat([weight.numerator for weight in weights], counts)
        self._denominators = np.repeat([weight.denominator for weight in weights], counts)
        # Shards that are too small for a whole share of an epoch take turns: each starts elsewhere
        # in the rounding, spread by the golden ratio.
        spread = np.arange(sum(counts)) * 2_654_435_769 % 2**32
        self._phases = spread * self._denominators // 2**32
        self._samples_per_epoch = sum(
            (
                weight * sum(source.samples_per_shard)
                for weight, source in zip(weights, sources, strict=True)
            ),
            start=Fraction(0),
        )
        self._entropy = int(self.fingerprint, 16)
        self._epoch: _Epoch | None = None
        self._block: _Block | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the order, as JSON values, for `describe_stream_differences`."""
        return {
            "stream_format_version": STREAM_FORMAT_VERSION,
            "seed": self._seed,
            "shards_per_block": self._shards_per_block,
            "sources": [
                {"content_hash": source.content_hash, "weight": float(source.weight)}
                for source in self._sources
            ],
        }

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
        if block is None or not 0 <= position - block.first_position < len(block.shards):
            block = self._block = self._lay_out_block(position)
        place = position - block.first_position
        shard = int(block.shards[place])
        source = int(np.searchsorted(self._source_starts, shard, side="right")) - 1
        return SampleAddress(
            source=source,
            shard=shard - int(self._source_starts[source]),
            sample=int(block.samples[place]),
        )

    def _turns_before(self, epoch: int) -> _Integers:
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
        done = ordinals * self._num_samples[shards]
        lengths = np.minimum(self._num_samples[shards], taken[shards] - done)
        order = self._order_visits(shards, shares=(ordinals, visits[shards]), epoch=number)

        num_blocks = -(-len(shards) // self._shards_per_block)
        block_bounds = np.arange(num_blocks + 1) * len(shards) // num_blocks
        positions = np.concatenate([[0], np.cumsum(lengths[order])])
        first_position = int(before.sum())
        return _Epoch(
            number=number,
            first_position=first_position,
            shards=shards[order],
            first_turns=(before[shards] + done)[order],
            lengths=lengths[order],
            block_bounds=block_bounds,
            block_starts=first_position + positions[block_bounds],
        )

    def _order_visits(
        self, shards: _Integers, *, shares: tuple[_Integers, _Integers], epoch: int
    ) -> _Integers:
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

    def _lay_out_block(self, position: int) -> _Block:
        """Order the samples of the block that holds a position."""
        number = self.epoch_at(position)
        if self._epoch is None or self._epoch.number != number:
            self._epoch = self._lay_out_epoch(number)
        epoch = self._epoch
        block = int(np.searchsorted(epoch.block_starts, position, side="right")) - 1
        visits = slice(epoch.block_bounds[block], epoch.block_bounds[block + 1])
        lengths = epoch.lengths[visits]
        samples = np.concatenate(
            [
                self._samples_of_visit(int(shard), int(first_turn), int(length))
                for shard, first_turn, length in zip(
                    epoch.shards[visits], epoch.first_turns[visits], lengths, strict=True
                )
            ]
        )
        words = self._random_words(len(samples), _BLOCK_ORDER, number, block)
        order = np.argsort(words, kind="stable")
        return _Block(
            first_position=int(epoch.block_starts[block]),
            shards=np.repeat(epoch.shards[visits], lengths)[order],
            samples=samples[order],
        )

    def _samples_of_visit(self, shard: int, first_turn: int, length: int) -> _Integers:
        """Return the samples of one visit, in the order of the shard's ring."""
        num_samples = int(self._num_samples[shard])
        places = np.arange(first_turn, first_turn + length) % num_samples
        if length == num_samples:
            return places
        # Only a part is taken: not neighbours, which often show one patient, but a random part.
        words = self._random_words(num_samples, _RING_ORDER, shard)
        return np.argsort(words, kind="stable")[places]

    def _random_words(self, count: int, *purpose: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Return 64-bit words that depend on the plan and the purpose alone."""
        seeds = np.random.SeedSequence([self._entropy, *purpose])
        return np.asarray(np.random.PCG64(seeds).random_raw(count), dtype=np.uint64)


def _checked_weights(sources: Sequence[StreamSource]) -> list[Fraction]:
    """Return the weights as exact fractions, and refuse sources that give no samples."""
    if not sources:
        raise ValueError("data.train names no corpus. Give at least one, as data.train=URL.")
    weights = []
    for place, source in enumerate(sources):
        if sum(source.samples_per_shard) == 0:
            raise ValueError(
                f"data.train[{place}] holds no samples. Leave it out, or check that its split and "
                "data.licences leave anything in it."
            )
        if not SMALLEST_WEIGHT <= source.weight <= LARGEST_WEIGHT:
            raise ValueError(
                f"The weight of data.train[{place}] is {source.weight}; it must lie between "
                f"{float(SMALLEST_WEIGHT):f} and {int(LARGEST_WEIGHT)}. "
                "To use none of a corpus, leave it out."
            )
        # The decimal that was typed is meant, not its binary neighbour: 0.1 is 1 / 10.
        exact = Fraction(str(source.weight))
        weights.append(exact.limit_denominator(SMALLEST_WEIGHT.denominator))
    return weights
