"""A published dataset as a source: its card, and a function that finds its images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.reading import RawFile, RawTree, open_tree
from shards.sample import Origin, UltrasoundObject, UltrasoundSample, hash_pixels, make_key

from .annotated_image import AnnotatedImage, check_sizes
from .source_card import SourceCard
from .source_plan import PlannedSample, SourcePlan


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image that a source found, and what its names tell; no pixel has been touched."""

    name: str
    """What tells it from all others of the source, with folders where stems repeat."""

    files: tuple[RawFile, ...]
    """All files that it is read from, the image first."""

    read: Callable[[], AnnotatedImage]
    """A partial of a module's function, so that it can be sent to another process."""

    subject: str | None = None
    """None where nothing tells; then the sequence, if there is one, is kept together instead."""

    sequence: str | None = None
    frame: int | None = None
    split: str | None = None
    """`train`, `validation` or `test` of the source's own; None where it has none."""

    facts: tuple[str | int | float | None, ...] = ()
    """What a table that is not among `files` says of it and `read` uses, as its class or spacing:
    where one changes, the sample is another one, and is built again."""


@dataclass(frozen=True, kw_only=True)
class PublishedSource:
    """A `SourceFactory` made from a card and a function that finds images in a tree of files."""

    card: SourceCard
    find: Callable[[RawTree, BuildReport], Iterable[FoundImage]]

    def __call__(self, config: BuildConfig, report: BuildReport) -> SourcePlan:
        """Plan every image that the layout gives; what does not fit goes into the report.

        Raises:
            ValueError: There is no `root`, an archive or a table is broken, or no image was found;
                it says what of the layout nobody has verified.
        """
        card = self.card
        if config.root is None:
            raise ValueError(f"source={config.source} needs root=PLACE, which holds {card.layout}.")
        if card.unverified:
            report.hint(card.doubts())
        tree = open_tree(Path(config.root), report=report)
        try:
            samples = self._plan_all(tree, report=report)
        except ValueError as error:
            if not card.unverified:
                raise
            raise ValueError(f"{error} {card.doubts()}") from error
        if not samples and not report.num_problems:
            raise _nothing_found(tree, card=card, source=config.source)
        return SourcePlan(
            descriptions=(card.describe(),),
            samples=tuple(samples),
            grouping_rule=f"{card.name}: {card.subject_rule}",
            listed_splits=frozenset(one.split for one in samples if one.split is not None),
        )

    def _plan_all(self, tree: RawTree, *, report: BuildReport) -> list[PlannedSample]:
        samples = []
        for found in self.find(tree, report):
            try:
                samples.append(_plan(found, card=self.card))
            except InputError as problem:
                report.add(problem)
        return samples


def _plan(found: FoundImage, *, card: SourceCard) -> PlannedSample:
    try:
        key = make_key(card.name, name=found.name)
    except ValueError as error:
        raise InputError("name that makes no key", str(error)) from error
    stamps = [f"{file.path} {file.stamp}" for file in found.files]
    return PlannedSample(
        key=key,
        source=card.name,
        subject=found.subject or key,
        subject_is_known=found.subject is not None,
        sequence=found.sequence,
        split=found.split,
        where=str(found.files[0]),
        fingerprint=f"{stamps} {found.frame} {found.facts}",
        read=partial(_read, found, card=card, key=key),
    )


def _read(found: FoundImage, *, card: SourceCard, key: str) -> UltrasoundSample:
    annotated = found.read()
    pixels = annotated.image.pixels
    return UltrasoundSample(
        key=key,
        image=pixels,
        objects=_objects(annotated, card=card, where=str(found.files[-1])),
        origin=Origin(
            source=card.name,
            licence=card.licence,
            subject=found.subject or key,
            subject_is_known=found.subject is not None,
            sequence=found.sequence,
            frame=found.frame,
            spacing_millimetres=annotated.spacing_millimetres,
            original_size=(pixels.shape[0], pixels.shape[1]),
            official_split=found.split,
            pixels_sha256=hash_pixels(pixels),
            intensity_window=annotated.image.intensity_window,
        ),
        encoded_image=annotated.image.encoded,
        notes=annotated.notes,
    )


def _objects(
    annotated: AnnotatedImage, *, card: SourceCard, where: str
) -> tuple[UltrasoundObject, ...]:
    objects = []
    for name, mask in annotated.masks:
        check_sizes(annotated.image.pixels, masks={str(name): mask}, where=where)
        if not mask.any():
            continue
        if name not in card.categories:
            raise InputError(
                "class that the source does not declare",
                f"{where}: has the class {name!r}; {card.name} knows "
                f"{', '.join(str(known) for known in card.categories)}. Fix the file, or add the "
                "class to the source's card.",
            )
        category = card.categories[name]
        organ = card.organ_of(category)
        objects.append(UltrasoundObject.from_mask(mask, category=category, organ=organ))
    return tuple(objects)


def _nothing_found(tree: RawTree, *, card: SourceCard, source: str) -> ValueError:
    shown = ", ".join(str(file.path) for file in tree.files[:3])
    found = f"{len(tree.files)} files, as {shown}" if shown else "no file"
    return ValueError(
        f"root={tree.root}: source={source} expects {card.layout}; found {found}, and no image "
        f"among them. Check root. {card.doubts()}".rstrip()
    )
