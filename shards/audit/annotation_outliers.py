"""Annotated objects that look like mistakes: specks, masks along the border, odd sizes."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage

from shards.sample import UltrasoundObject

SPECK = "speck"
BORDER = "lies along the border"
AREA = "implausible area"

SPECK_PIXELS = 16
"""A component of fewer pixels is a speck, unless the whole object is not much larger."""

MIN_SPECK_RATIO = 20
MAX_BORDER_SHARE = 0.25
"""Of the picture's border that one mask may cover; more is a filled or inverted outline."""

MAX_AREA_SHARE = 0.95
MIN_OBJECTS = 20
"""Objects of a category and source from which their usual size is told."""

MAX_DEVIATIONS = 6.0
"""Of the logarithm of the area from its median, in robust standard deviations."""

MIN_DEVIATION = 0.1
"""Robust standard deviation of that logarithm, at least: phantoms and templates are all alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectMeasures:
    """What the audit keeps of one object."""

    image: int
    category: str
    area_share: float
    """Of the picture."""

    border_share: float
    """Of the picture's outermost pixels that are foreground."""

    num_specks: int

    def moved(self, start: int) -> "ObjectMeasures":
        """Return the same with its image counted from `start` pictures earlier."""
        return dataclasses.replace(self, image=self.image + start)


@dataclass(frozen=True, kw_only=True)
class Outlier:
    """One object that should be looked at."""

    image: int
    category: str
    kind: str
    what: str


@dataclass(frozen=True, kw_only=True)
class BorderCount:
    """How many masks of a category of a source touch the border of their picture."""

    source: str
    category: str
    num_at_border: int
    """With a pixel on it: the picture may end before the object does."""

    num_objects: int


def measure_object(thing: UltrasoundObject, *, image: int) -> ObjectMeasures:
    """Measure one object."""
    mask = thing.mask()
    rim = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    area = int(mask.sum())
    return ObjectMeasures(
        image=image,
        category=thing.category,
        area_share=area / mask.size,
        border_share=float(rim.mean()),
        num_specks=_count_specks(mask, area=area) if thing.num_components > 1 else 0,
    )


def find_outliers(objects: Sequence[ObjectMeasures], *, sources: Sequence[str]) -> list[Outlier]:
    """Return what is odd, in the order of the pictures.

    Args:
        objects: All objects.
        sources: The source of every picture: sizes are compared within source and category.
    """
    outliers = [outlier for thing in objects for outlier in _own_oddities(thing)]
    for alike in _by_category(objects, sources=sources).values():
        outliers += _odd_areas(alike)
    return sorted(outliers, key=lambda outlier: (outlier.image, outlier.kind))


def count_at_border(
    objects: Sequence[ObjectMeasures], *, sources: Sequence[str]
) -> list[BorderCount]:
    """Return every source and category of which a mask touches the border, sorted.

    Args:
        objects: All objects.
        sources: The source of every picture.
    """
    counts = [
        BorderCount(
            source=source,
            category=category,
            num_at_border=sum(thing.border_share > 0 for thing in alike),
            num_objects=len(alike),
        )
        for (source, category), alike in sorted(_by_category(objects, sources=sources).items())
    ]
    return [one for one in counts if one.num_at_border]


def _by_category(
    objects: Sequence[ObjectMeasures], *, sources: Sequence[str]
) -> dict[tuple[str, str], list[ObjectMeasures]]:
    by_category: dict[tuple[str, str], list[ObjectMeasures]] = defaultdict(list)
    for thing in objects:
        by_category[sources[thing.image], thing.category].append(thing)
    return by_category


def _own_oddities(thing: ObjectMeasures) -> list[Outlier]:
    found = []
    if thing.num_specks:
        found.append((SPECK, f"{thing.num_specks} components below {SPECK_PIXELS} pixels"))
    if thing.border_share > MAX_BORDER_SHARE:
        found.append((BORDER, f"covers {100 * thing.border_share:.0f} % of the border"))
    if thing.area_share > MAX_AREA_SHARE:
        found.append((AREA, f"covers {100 * thing.area_share:.0f} % of the picture"))
    return [
        Outlier(image=thing.image, category=thing.category, kind=kind, what=what)
        for kind, what in found
    ]


def _odd_areas(alike: list[ObjectMeasures]) -> list[Outlier]:
    """Return the objects whose area is far from what is usual for their category and source."""
    if len(alike) < MIN_OBJECTS:
        return []
    areas = np.log([max(thing.area_share, 1e-9) for thing in alike])
    usual = np.median(areas)
    deviation = max(1.4826 * float(np.median(np.abs(areas - usual))), MIN_DEVIATION)
    distances = (areas - usual) / deviation
    return [
        Outlier(
            image=thing.image,
            category=thing.category,
            kind=AREA,
            what=f"{100 * thing.area_share:.2f} % of the picture, usual are "
            f"{100 * float(np.exp(usual)):.2f} %",
        )
        for thing, distance in zip(alike, distances, strict=True)
        if abs(distance) > MAX_DEVIATIONS and thing.area_share <= MAX_AREA_SHARE
    ]


def _count_specks(mask: np.ndarray, *, area: int) -> int:
    labelled, _ = cast(tuple[np.ndarray, int], ndimage.label(mask, structure=np.ones((3, 3))))
    sizes = np.bincount(labelled.ravel())[1:]
    limit = min(SPECK_PIXELS, area / MIN_SPECK_RATIO)
    return int((sizes < limit).sum())
