"""Which pictures may be copies of each other, from their descriptors alone.

All hashes are sorted, several times with their bits turned by a band, and each is compared with the
few that follow it. Two hashes that agree in the leading bits of one order are neighbours there. So
time and memory grow with the number of pictures (times its logarithm), however many hashes are
alike; what the same scanner writes on every picture cannot make them quadratic.

Axis names used in this file:
    descriptor  of all pictures, one after the other
    match       two descriptors with nearly the same hash
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .image_descriptors import HASH_MASK, MIRRORED_BIT, NUM_HASH_BITS

NUM_ORDERS = 4
NUM_NEIGHBOURS = 6
"""Hashes compared with each in one order."""

MAX_DIFFERENT_BITS = 10
"""Of 62. Two hashes drawn by chance differ in so few bits once in 35 million."""

MIN_MATCHES = 2
MAX_ACROSS_SPLITS = 12
"""Candidates a picture, those with the most matches; more true copies still make a chain."""

MAX_WITHIN_SPLIT = 3
"""Fewer, since no score is wrong for them."""

_NUM_PARTS = 16
_LARGEST_PART_BITS = np.uint64(NUM_HASH_BITS - 4)


@dataclass(frozen=True, kw_only=True)
class DescriptorTable:
    """The descriptors of all pictures."""

    descriptors: np.ndarray
    """`DESCRIPTOR` (descriptor)."""

    starts: np.ndarray
    """Place of each picture's first descriptor, which is that of its frame, and the end."""

    groups: np.ndarray
    """Number of each picture's subject: pictures of one subject are not compared."""

    splits: np.ndarray
    """Number of each picture's split."""

    def images(self) -> np.ndarray:
        """Return the picture of each descriptor."""
        counts = np.diff(self.starts)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


@dataclass(frozen=True, kw_only=True)
class CandidatePair:
    """Two pictures that may show the same."""

    first: int
    second: int
    is_mirrored: bool
    matches: np.ndarray
    """Places of the matching descriptors (match, 2)."""


def find_candidates(table: DescriptorTable, *, seed: int = 0) -> Iterator[CandidatePair]:
    """Yield pairs of pictures with matching frames or several matching blobs, the best first."""
    images = table.images()
    matches = _find_matches(table, images=images, seed=seed)
    sides = images[matches]
    hashes = table.descriptors["hash"]
    is_mirrored = ((hashes[matches[:, 0]] ^ hashes[matches[:, 1]]) & MIRRORED_BIT) != 0
    pairs = (sides[:, 0].astype(np.uint64) << np.uint64(32)) | sides[:, 1].astype(np.uint64)
    order = np.lexsort((is_mirrored, pairs))
    is_new = np.ones(len(order), bool)
    is_new[1:] = (np.diff(pairs[order]) != 0) | (np.diff(is_mirrored[order].view(np.int8)) != 0)
    begins = np.append(np.flatnonzero(is_new), len(order))
    counts = np.diff(begins)
    is_frame = (table.starts[sides] == matches).all(axis=1)[order]
    has_frame = np.add.reduceat(is_frame, begins[:-1]) > 0 if len(counts) else np.empty(0, bool)
    kept = np.flatnonzero((counts >= MIN_MATCHES) | has_frame)
    num_taken = np.zeros((2, len(table.groups)), np.int64)
    for place in kept[np.argsort(-counts[kept], kind="stable")]:
        rows = order[begins[place] : begins[place + 1]]
        first, second = (int(image) for image in sides[rows[0]])
        is_across = int(table.splits[first] != table.splits[second])
        taken = num_taken[is_across]
        if min(taken[first], taken[second]) >= (MAX_WITHIN_SPLIT, MAX_ACROSS_SPLITS)[is_across]:
            continue
        taken[[first, second]] += 1
        yield CandidatePair(
            first=first,
            second=second,
            is_mirrored=bool(is_mirrored[rows[0]]),
            matches=matches[rows],
        )


def _find_matches(table: DescriptorTable, *, images: np.ndarray, seed: int) -> np.ndarray:
    """Return pairs of places (match, 2) of alike descriptors, that of the earlier picture first."""
    generator = np.random.default_rng(seed)
    found = [np.empty((0, 2), np.int64)]
    for turn in range(NUM_ORDERS):
        shift = np.uint64(turn * NUM_HASH_BITS // NUM_ORDERS)
        keys = _turn(table.descriptors["hash"] & HASH_MASK, shift=shift)
        parts = (keys >> _LARGEST_PART_BITS).astype(np.uint8)
        for part in range(_NUM_PARTS):
            places = np.flatnonzero(parts == part)
            generator.shuffle(
                places
            )  # among equal hashes, not the frames of one video side by side
            places = places[np.argsort(keys[places], kind="stable")]
            found.append(_match_neighbours(places, table=table, images=images))
    matches = np.concatenate(found)
    matches = np.sort(matches, axis=1)  # places ascend with pictures
    return np.unique(matches, axis=0)


def _match_neighbours(
    places: np.ndarray, *, table: DescriptorTable, images: np.ndarray
) -> np.ndarray:
    """Compare each descriptor with those that follow it in an order."""
    hashes = table.descriptors["hash"][places]
    groups = table.groups[images[places]]
    found = [np.empty((0, 2), np.int64)]
    for distance in range(1, NUM_NEIGHBOURS + 1):
        num_different = np.bitwise_count((hashes[:-distance] ^ hashes[distance:]) & HASH_MASK)
        is_match = num_different <= MAX_DIFFERENT_BITS
        is_match &= groups[:-distance] != groups[distance:]
        kept = np.flatnonzero(is_match)
        found.append(np.stack([places[kept], places[kept + distance]], axis=1))
    return np.concatenate(found)


def _turn(hashes: np.ndarray, *, shift: np.uint64) -> np.ndarray:
    """Turn the bits of the hashes to the left by `shift`."""
    wide = np.uint64(NUM_HASH_BITS)
    mask = (np.uint64(1) << wide) - np.uint64(1)
    return ((hashes << shift) | (hashes >> (wide - shift))) & mask
