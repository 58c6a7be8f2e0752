"""What a test would measure that training has seen, and which training images must go for it.

Pictures that come twice are linked, and so are those of one group (subject, else sequence). What is
linked, directly or through others, must lie in one split.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from shards.patient_split import SPLITS

from .duplicates import DuplicatePair
from .image_survey import ImageSurvey, SurveyedImage

EXACT = "the same pixels"
NEAR = "a near duplicate"
SUBJECT = "one subject or sequence"


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Two pictures of a survey in two splits that belong together."""

    first: int
    second: int
    kind: str
    what: str = ""


def find_leaks(survey: ImageSurvey, *, pairs: Sequence[DuplicatePair]) -> list[Leak]:
    """Return the pairs, and the groups, that lie in more than one split."""
    images = survey.images
    leaks = [
        Leak(first=pair.first, second=pair.second, kind=EXACT if pair.is_exact else NEAR)
        for pair in pairs
        if images[pair.first].split != images[pair.second].split
    ]
    for group, members in _groups(images).items():
        firsts: dict[str, int] = {}
        for number in members:
            firsts.setdefault(images[number].split, number)
        first, *others = firsts.values()
        counts = Counter(images[number].split for number in members)
        what = f"{' '.join(group)}: " + ", ".join(f"{counts[split]} in {split}" for split in firsts)
        leaks += [Leak(first=first, second=other, kind=SUBJECT, what=what) for other in others]
    return leaks


def choose_removed(survey: ImageSurvey, *, pairs: Sequence[DuplicatePair]) -> list[int]:
    """Return the images to leave out so that no leak is left: those on the training side.

    Of what is linked only the split furthest from training stays: test before validation before
    train. What belongs to no other split stays.
    """
    images = survey.images
    ends = [(pair.first, pair.second) for pair in pairs]
    for members in _groups(images).values():
        ends += [(members[0], other) for other in members[1:]]
    first, second = np.array(ends, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(images),) * 2)
    _, part_of = connected_components(links, directed=False)
    place = np.array([SPLITS.index(image.split) for image in images], np.int64)
    furthest = np.zeros(len(images), np.int64)
    np.maximum.at(furthest, part_of, place)
    return np.flatnonzero(place < furthest[part_of]).tolist()


def find_licence_conflicts(survey: ImageSurvey, *, pairs: Sequence[DuplicatePair]) -> list[str]:
    """Say where one picture, or one source, comes under several licences."""
    images = survey.images
    licences: dict[str, set[str]] = defaultdict(set)
    for image in images:
        licences[image.source].add(image.licence)
    conflicts = [
        f"{source}: comes under {', '.join(sorted(found))}. Build its corpora with one version."
        for source, found in sorted(licences.items())
        if len(found) > 1
    ]
    counts: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        one, other = (images[number] for number in (pair.first, pair.second))
        if one.licence != other.licence:
            names = sorted(f"{image.source} ({image.licence})" for image in (one, other))
            counts[names[0], names[1]] += 1
    return conflicts + [
        f"{one} and {other} share {count} pictures: the stricter terms hold for both copies."
        for (one, other), count in sorted(counts.items())
    ]


def _groups(images: Sequence[SurveyedImage]) -> dict[tuple[str, ...], list[int]]:
    """Return the groups of more than one picture, with their members."""
    members: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        members[image.group].append(number)
    return {group: some for group, some in members.items() if len(some) > 1}
