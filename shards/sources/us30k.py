"""The US30K layout: `DATASET/img`, `DATASET/label`, lists and class.json in `MainPatient`.

The lines of one image become one sample, whose objects are its classes. Masks hold class values;
in a dataset of background and one class every value but 0 is that class.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.image_file import ImageFile, read_image, read_label
from shards.sample import (
    Origin,
    UltrasoundObject,
    UltrasoundSample,
    hash_pixels,
    key_word,
    make_key,
)

from .source_plan import PlannedSample, SourcePlan
from .us30k_datasets import ALIASES, Dataset, describe_dataset, find_dataset
from .us30k_lists import ListedImage, read_class_counts, read_lists

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
USUAL_BINARY_VALUES = frozenset({0, 1, 255})
"""Of masks with one class; others (soft edges, ink) count as that class too, and are noted."""


@dataclass(frozen=True, kw_only=True)
class _Files:
    """An image, its mask, and all that is known of them before they are opened."""

    listed: ListedImage
    image: Path
    label: Path
    key: str
    dataset: Dataset
    subject: str
    subject_is_known: bool
    sequence: str | None
    frame: int | None


def plan_us30k(config: BuildConfig, report: BuildReport) -> SourcePlan:
    """Plan every listed image whose files are there; what is missing goes into the report.

    Raises:
        ValueError: `root` does not have the layout at all.
    """
    if config.root is None:
        raise ValueError("source=us30k needs root=FOLDER, the folder that holds MainPatient.")
    root = Path(config.root)
    if root.is_file():
        raise ValueError(
            f"root={root}: is a file, and source=us30k reads no archives. Unpack it, and give the "
            "folder that holds MainPatient."
        )
    if not root.is_dir():
        raise ValueError(f"root={root}: there is no such folder. Give the US30K folder.")
    class_counts = read_class_counts(root)
    listed_images = read_lists(
        root,
        options=config.us30k,
        class_counts=class_counts,
        keeps_splits=config.splits == "official",
        report=report,
    )
    datasets = {
        name: find_dataset(name, num_classes=count - 1, report=report)
        for name, count in class_counts.items()
    }
    folders = {name: _DatasetFolder(root, name=name) for name in class_counts}
    samples = []
    for listed in listed_images:
        try:
            files = folders[listed.dataset].find(listed, dataset=datasets[listed.dataset])
        except InputError as problem:
            report.add(problem)
        else:
            samples.append(_plan(files))
    rules = [f"{key_word(name)}: {known.subject_words}" for name, known in datasets.items()]
    return SourcePlan(
        descriptions=tuple(
            describe_dataset(name, dataset=known) for name, known in datasets.items()
        ),
        samples=tuple(samples),
        grouping_rule="; ".join(rules),
        listed_splits=frozenset(split for split, names in config.us30k.lists.items() if names),
    )


class _DatasetFolder:
    """The pictures of one dataset by stem, listed once."""

    def __init__(self, root: Path, *, name: str) -> None:
        folder = root / name
        alias = ALIASES.get(name)
        if alias is not None and not folder.is_dir():
            folder = root / alias
        self._images = _pictures_by_stem(folder / "img")
        self._labels = _pictures_by_stem(folder / "label")
        self._folder = folder

    def find(self, listed: ListedImage, *, dataset: Dataset) -> _Files:
        """Return the two files of a listed image, and what its name tells."""
        image = self._find_one("img", pictures=self._images, listed=listed)
        label = self._find_one("label", pictures=self._labels, listed=listed)
        try:
            key = make_key(listed.dataset, name=listed.name)
        except ValueError as error:
            raise InputError("name that makes no key", str(error)) from error
        matched = re.fullmatch(dataset.subject_pattern or "(?!)", listed.name)
        groups = matched.groupdict() if matched else {}
        return _Files(
            listed=listed,
            image=image,
            label=label,
            key=key,
            dataset=dataset,
            subject=groups.get("subject", key),
            subject_is_known=matched is not None,
            sequence=groups.get("sequence"),
            frame=int(groups["frame"]) if "frame" in groups else None,
        )

    def _find_one(
        self, part: str, *, pictures: Mapping[str, list[Path]], listed: ListedImage
    ) -> Path:
        found = pictures.get(listed.name, [])
        if len(found) == 1:
            return found[0]
        expected = self._folder / part / f"{listed.name}.png"
        if found:
            names = " and ".join(path.name for path in found)
            raise InputError(
                "two files with one name",
                f"{expected}: {names} could both be meant ({listed.where}). Remove one.",
            )
        raise InputError(
            "file missing",
            f"{expected}: does not exist, but {listed.where} names it. "
            "Restore the file, or take the line out.",
        )


def _pictures_by_stem(folder: Path) -> dict[str, list[Path]]:
    pictures: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            pictures.setdefault(path.stem, []).append(path)
    return pictures


def _plan(files: _Files) -> PlannedSample:
    listed = files.listed
    stamps = [(path.stat().st_size, path.stat().st_mtime_ns) for path in (files.image, files.label)]
    classes = "all" if listed.has_all_classes else sorted(listed.classes)
    return PlannedSample(
        key=files.key,
        source=key_word(listed.dataset),
        subject=files.subject,
        subject_is_known=files.subject_is_known,
        split=listed.split,
        where=str(files.image),
        fingerprint=f"{stamps} {classes}",
        read=partial(_read, files),
    )


def _read(files: _Files) -> UltrasoundSample:
    image = read_image(files.image)
    labels = read_label(files.label)
    if labels.shape != image.pixels.shape[:2]:
        raise InputError(
            "mask of another size",
            f"{files.label}: mask is {labels.shape[0]} x {labels.shape[1]} pixels, image is "
            f"{image.pixels.shape[0]} x {image.pixels.shape[1]}. Fix the source, or take "
            f"{files.listed.name} out of the list.",
        )
    notes: list[str] = []
    labels = _class_values(labels, files=files, notes=notes)
    return UltrasoundSample(
        key=files.key,
        image=image.pixels,
        objects=_objects(labels, files=files, notes=notes),
        origin=_origin(files, image=image),
        encoded_image=image.encoded,
        notes=tuple(notes),
    )


def _class_values(labels: np.ndarray, *, files: _Files, notes: list[str]) -> np.ndarray:
    values = {int(value) for value in np.unique(labels)}
    num_classes = len(files.dataset.categories)
    if num_classes == 1:
        if values - USUAL_BINARY_VALUES:
            notes.append("masks of one class with values other than 0, 1 and 255")
        return (labels != 0).astype(np.int32)
    if min(values) < 0 or max(values) > num_classes:
        raise InputError(
            "mask value outside the classes",
            f"{files.label}: holds the values {sorted(values)}, class.json allows 0 to "
            f"{num_classes}. Fix the mask, or the count in class.json.",
        )
    return labels


def _objects(
    labels: np.ndarray, *, files: _Files, notes: list[str]
) -> tuple[UltrasoundObject, ...]:
    present = {int(value) for value in np.unique(labels)} - {0}
    listed = files.listed
    notes += ["lines whose class is not in the mask"] * len(listed.classes - present)
    wanted = present if listed.has_all_classes else present & listed.classes
    return tuple(
        UltrasoundObject.from_mask(
            labels == class_index,
            category=files.dataset.categories[class_index - 1],
            organ=files.dataset.organs[class_index - 1],
        )
        for class_index in sorted(wanted)
    )


def _origin(files: _Files, *, image: ImageFile) -> Origin:
    return Origin(
        source=key_word(files.listed.dataset),
        licence=files.dataset.licence,
        subject=files.subject,
        subject_is_known=files.subject_is_known,
        sequence=files.sequence,
        frame=files.frame,
        original_size=(image.pixels.shape[0], image.pixels.shape[1]),
        official_split=files.listed.split,
        pixels_sha256=hash_pixels(image.pixels),
        intensity_window=image.intensity_window,
    )
