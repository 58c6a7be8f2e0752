"""What a stream plan needs to know about each corpus, and how often its samples come."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

SMALLEST_WEIGHT = Fraction(1, 1_000_000)
LARGEST_WEIGHT = Fraction(10_000)


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamSource:
    """One corpus of a plan."""

    content_hash: str
    """Hash of the corpus's manifest: another content is another sequence."""

    weight: float
    """How often each sample comes in an epoch; 0.5 is once in two epochs."""

    samples_per_shard: tuple[int, ...]
    """In the manifest's order."""

    dataset_of_shard: tuple[str, ...] = ()
    """Published dataset of each shard, whose sizes a mixing temperature evens out."""

    sequences: np.ndarray[Any, np.dtype[np.uint64]] | None = None
    """A number for each sample, the same for the frames of one sequence; for a cap on these."""


def checked_weights(sources: Sequence[StreamSource]) -> list[Fraction]:
    """Return the weights as exact fractions.

    Raises:
        ValueError: There is no source, one without samples, or one of a weight out of bounds.
    """
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


def weights_of_shards(
    sources: Sequence[StreamSource], *, num_samples: Integers, temperature: float | None
) -> tuple[list[Fraction], Integers]:
    """Return the weights that there are, and for each shard the place of its own among them.

    Args:
        sources: The corpora.
        num_samples: Of each shard, one corpus after the other; with a cap, what it leaves.
        temperature: None takes the corpora's weights. T multiplies them so that a dataset of n
            samples gets a share of n ** (1 / T): by 1 for the largest, by more for the others.

    Raises:
        ValueError: A weight is out of bounds.
    """
    weights = checked_weights(sources)
    counts = [len(source.samples_per_shard) for source in sources]
    corpus_of_shard = np.repeat(np.arange(len(sources)), counts)
    if temperature is None:
        return weights, corpus_of_shard
    names = [name for source in sources for name in source.dataset_of_shard]
    datasets, dataset_of_shard = np.unique(names, return_inverse=True)
    sizes = np.bincount(dataset_of_shard, num_samples)
    mixed = [
        _mixed_weight(weight, sizes=sizes, dataset=place, name=name, temperature=temperature)
        for weight in weights
        for place, name in enumerate(datasets.tolist())
    ]
    return mixed, corpus_of_shard * len(datasets) + dataset_of_shard


def _mixed_weight(
    weight: Fraction, *, sizes: np.ndarray, dataset: int, name: str, temperature: float
) -> Fraction:
    """Return the weight of a dataset's shards; the temperature's part is exact to a thousandth."""
    ratio = max(sizes) / max(sizes[dataset], 1.0)
    mixed = weight * Fraction(round(1000 * ratio ** (1 - 1 / temperature)), 1000)
    if mixed > LARGEST_WEIGHT:
        raise ValueError(
            f"data.mixing_temperature={temperature} would show each of the {sizes[dataset]:.0f} "
            f"samples of {name} {float(mixed):.0f} times an epoch; {int(LARGEST_WEIGHT)} are the "
            "most. Lower it, or leave that dataset out."
        )
    return mixed.limit_denominator(SMALLEST_WEIGHT.denominator)
