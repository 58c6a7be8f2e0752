"""What a raw folder may be: one of the published sources, or own data, and with which options."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .build_report import BuildReport
from .image_file import label_from_bytes
from .pattern_guess import guess_patterns
from .reading import (
    PICTURE_SUFFIXES,
    VOLUME_SUFFIXES,
    PathPattern,
    RawFile,
    RawTree,
    is_dicom,
    local_path,
    read_coco,
    read_dicom_header,
    read_segmentation,
    read_volume,
)
from .sources import CARDS, SOURCES, PublishedSource, SourceCard
from .sources.folder import FOREGROUND, MAX_VALUES

MIN_SHARE_OF_GOOD_IMAGES = 0.9
"""Of the images that a published source finds in a tree; with more problems it is another one."""

_USUAL_NAMES = frozenset(
    {"annotations", "data", "gt", "image", "images", "img", "label", "labels", "mask", "masks"}
    | {"original", "segmentation", "test", "train", "val", "validation", "videos"}
)
"""Of folders in many datasets, from which none is told."""

_LAYOUT_NAME = re.compile(r"[\w.-]+(?=/)|[\w-]+\.(?:zip|csv|xlsx|hdf5|json|tar\.gz)")
_PLACEHOLDERS = {"NAME", "SITE", "MACHINE", "SPLIT", "NUMBER", "PREFIX", "VIDEO"}
_MAX_MASKS = 8
"""Masks that are opened to see which values they hold."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A source that may be meant."""

    source: str
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    """Of own data: fields of its section."""

    classes: tuple[str, ...] = ()
    """Of own data: what the masks show, in the files' own words."""


def guess_sources(tree: RawTree) -> list[Guess]:
    """Return what a tree may be, the likeliest first; nothing is built, and little is opened."""
    guesses = [*_us30k(tree), *_published(tree)]
    for kind in (_dicom, _coco, _nifti, _folder):
        guesses += kind(tree)
    return guesses


def _us30k(tree: RawTree) -> Iterator[Guess]:
    if any(local_path(file, tree=tree) == "MainPatient/class.json" for file in tree.files):
        yield Guess(source="us30k", why="it has MainPatient/class.json")


def _published(tree: RawTree) -> list[Guess]:
    """Return the published sources whose names are there and whose images are found, best first."""
    found: list[tuple[tuple[bool, float], Guess]] = []
    folders = {tree.root.name, *(folder for file in tree.files for folder in file.folders)}
    names = folders | {file.name for file in tree.files}
    squeezed = {name: _squeezed(name) for name in folders}
    for name, card in CARDS.items():
        called = sorted(one for one, word in squeezed.items() if _is_called(card, word=word))
        shown = sorted(_words_of(card) & names) or called
        source = SOURCES[name]
        if not shown or not isinstance(source, PublishedSource):
            continue
        report = BuildReport()
        try:
            images = list(source.find(tree, report))
        except ValueError:
            continue  # another dataset, whose files this source cannot read
        if len(images) < MIN_SHARE_OF_GOOD_IMAGES * max(len(images) + report.num_problems, 1):
            continue
        share = len({file for one in images for file in one.files}) / len(tree.files)
        is_named = any(squeezed[one] == _squeezed(name) for one in called)
        why = f"{card.title}: it has {', '.join(shown[:4])}, and {len(images)} images"
        found.append(((is_named, share), Guess(source=name, why=why)))
    return [guess for _, guess in sorted(found, key=lambda one: one[0], reverse=True)]


def _words_of(card: SourceCard) -> set[str]:
    """Return the names in a card's layout that are not those of every other dataset."""
    words = {word for word in _LAYOUT_NAME.findall(card.layout) if "NNN" not in word}
    return {word for word in words - _PLACEHOLDERS if word.lower() not in _USUAL_NAMES}


def _is_called(card: SourceCard, *, word: str) -> bool:
    """Say whether a folder's name begins the source's own, or the other way round."""
    own = _squeezed(card.name)
    return (len(word) > 1 and own.startswith(word)) or (len(own) > 3 and word.startswith(own))


def _squeezed(name: str) -> str:
    stem = re.sub(r"\.(zip|tar|tar\.gz|tgz|7z)$", "", name.lower())
    return re.sub(r"[^a-z0-9]", "", stem)


def _dicom(tree: RawTree) -> Iterator[Guess]:
    others = {*PICTURE_SUFFIXES, *VOLUME_SUFFIXES, ".json", ".csv", ".txt", ".xlsx"}
    files = [file for file in tree.files if file.suffix not in others and is_dicom(file)]
    labels: set[str] = set()
    num_images = 0
    for file in files:
        try:
            header = read_dicom_header(file)
            num_images += header.num_frames > 0 and not header.is_segmentation
            if header.is_segmentation:
                labels |= {segment.label for segment in read_segmentation(file)}
        except ValueError:
            continue  # the trial names it
    if files:
        why = f"{num_images} DICOM images, {len(files) - num_images} other DICOM files"
        yield Guess(source="dicom", why=why, classes=tuple(sorted(labels)))


def _coco(tree: RawTree) -> Iterator[Guess]:
    found: dict[RawFile, set[str]] = {}
    listed = tree.select({".json"})
    for file in listed:
        try:
            images = read_coco(file)
        except ValueError:
            continue  # other JSON
        found[file] = {one.category for image in images for one in image.annotations}
    if not found:
        return
    options = {}
    if len(found) < len(listed):
        options["annotations"] = f"./{local_path(next(iter(found)), tree=tree)}"
    classes = tuple(sorted(set().union(*found.values())))
    why = f"{len(found)} COCO files"
    yield Guess(source="coco", why=why, options=options, classes=classes)


def _nifti(tree: RawTree) -> Iterator[Guess]:
    files = tree.select(VOLUME_SUFFIXES)
    patterns = guess_patterns(files, tree=tree)
    if patterns is None:
        return
    values: set[int] = set()
    for file in _some(_fitting(files, masks=patterns.masks, tree=tree)):
        try:
            values |= {int(value) for value in np.unique(read_volume(file).values)} - {0}
        except ValueError:
            continue  # the trial names it
    yield Guess(
        source="nifti",
        why=f"{patterns.num_pairs} volumes with labels",
        options={"images": patterns.images, "masks": patterns.masks},
        classes=tuple(str(value) for value in sorted(values)),
    )


def _folder(tree: RawTree) -> Iterator[Guess]:
    files = tree.select(PICTURE_SUFFIXES)
    patterns = guess_patterns(files, tree=tree)
    if patterns is None:
        return
    pattern = PathPattern(patterns.masks, option="masks")
    masks = _fitting(files, masks=patterns.masks, tree=tree)
    if "category" in pattern.words:
        matched = [pattern.match(file, tree=tree) or {} for file in masks]
        classes = sorted({words["category"] for words in matched})
    else:
        classes = _values_of(_some(masks))
    yield Guess(
        source="folder",
        why=f"{patterns.num_pairs} pictures with masks",
        options={"images": patterns.images, "masks": patterns.masks},
        classes=tuple(classes),
    )


def _fitting(files: Collection[RawFile], *, masks: str, tree: RawTree) -> list[RawFile]:
    pattern = PathPattern(masks, option="masks")
    return [file for file in files if pattern.match(file, tree=tree) is not None]


def _some(files: Sequence[RawFile]) -> list[RawFile]:
    """Return a few files, evenly over all."""
    places = np.linspace(0, len(files) - 1, min(len(files), _MAX_MASKS)).round().astype(int)
    return [files[place] for place in places]


def _values_of(masks: Collection[RawFile]) -> list[str]:
    """Return the class values of mask pictures; `foreground` where they show one thing."""
    values: set[int] = set()
    for file in masks:
        try:
            present = np.unique(label_from_bytes(file.read_bytes(), where=str(file)))
        except ValueError:
            return [FOREGROUND]
        if len(present) > MAX_VALUES or (len(present) > 2 and file.suffix in {".jpg", ".jpeg"}):
            return [FOREGROUND]
        values |= {int(value) for value in present} - {0}
    return [str(value) for value in sorted(values)] if len(values) > 1 else [FOREGROUND]
