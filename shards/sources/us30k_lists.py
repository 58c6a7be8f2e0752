"""The lists of the US30K layout: which image, which class, which split.

Lines are `<class>/<dataset>/<name>`, or `<dataset>/<name>` for every class that the mask holds.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from shards.build_report import BuildReport, InputError
from shards.config import Us30kConfig

from .us30k_datasets import ALIASES

LIST_FOLDER = "MainPatient"
CLASS_FILE = "class.json"

_NO_LIST = "list that cannot be used"
_BAD_LINE = "line that cannot be used"


@dataclass(kw_only=True)
class ListedImage:
    """One image of one split, with the lines that name it merged."""

    split: str
    dataset: str
    """As class.json calls it."""

    name: str
    where: str
    """The first line that names it, for messages."""

    classes: set[int] = field(default_factory=set)
    """Classes that lines name; those of the mask come on top where `has_all_classes`."""

    has_all_classes: bool = False


def read_class_counts(root: Path) -> dict[str, int]:
    """Return dataset -> number of classes, the background included, from `class.json`.

    Raises:
        ValueError: `root` does not have the layout.
    """
    path = root / LIST_FOLDER / CLASS_FILE
    if not path.is_file():
        raise ValueError(
            f"root={root}: {LIST_FOLDER}/{CLASS_FILE} is missing, so this is not the US30K layout "
            "(DATASET/img, DATASET/label, MainPatient/train.txt, MainPatient/class.json)."
        )
    try:
        counts = {str(name): int(count) for name, count in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f'{path}: expected {{"DATASET": number of classes with background}} ({error}). Mend it.'
        ) from error
    if not counts or min(counts.values()) < 2:
        raise ValueError(
            f"{path}: every dataset needs at least 2 classes (background and one more), found "
            f"{counts}. Mend it."
        )
    return counts


def read_lists(
    root: Path,
    *,
    options: Us30kConfig,
    class_counts: dict[str, int],
    keeps_splits: bool,
    report: BuildReport,
) -> list[ListedImage]:
    """Return every listed image of every split, in the order of datasets, then of the lists.

    Args:
        root: Folder that holds `MainPatient`.
        options: Which lists make which split.
        class_counts: Of `class.json`.
        keeps_splits: Whether an image in the lists of two splits is in both; else it comes once.
        report: Gets what is wrong with the lists.
    """
    images: dict[tuple[str, str, str], ListedImage] = {}
    for split, names in options.lists.items():
        for name in names:
            path = root / LIST_FOLDER / f"{name}.txt"
            for number, line in _read_lines(path, split=split, report=report):
                where = f"{path} line {number}"
                listed = _parse_line(line, where=where, class_counts=class_counts, report=report)
                if listed is not None:
                    listed.split = split
                    key = (split if keeps_splits else "", listed.dataset, listed.name)
                    _merge(images, key=key, listed=listed, report=report)
    places = {name: place for place, name in enumerate(class_counts)}
    return sorted(images.values(), key=lambda listed: places[listed.dataset])


def _read_lines(path: Path, *, split: str, report: BuildReport) -> list[tuple[int, str]]:
    """Return the numbered lines; without them a split would lack nobody knows how many images."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
        lines = [(number, line) for number, line in lines if line]
        problem = "" if lines else "names no image"
    except OSError as error:
        lines, problem = [], f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        lines, problem = [], "is no text in UTF-8"
    if problem:
        remedy = f"Restore it, or name other lists with us30k.{split}_lists=[...]."
        report.add(InputError(_NO_LIST, f"{path}: {problem}. {remedy}"), is_obstacle=True)
    return lines


def _parse_line(
    line: str, *, where: str, class_counts: dict[str, int], report: BuildReport
) -> ListedImage | None:
    parts = line.split("/")
    class_word = parts.pop(0) if len(parts) == 3 else None
    is_number = class_word is None or class_word.isdigit()
    if len(parts) != 2 or not all(parts) or not is_number or ".." in parts:
        expected = "expected CLASS/DATASET/NAME or DATASET/NAME"
        report.add(InputError(_BAD_LINE, f"{where}: {line!r}; {expected}. Mend the line."))
        return None
    dataset, name = parts
    known = dataset if dataset in class_counts else ALIASES.get(dataset, "")
    if known not in class_counts:
        names = ", ".join(class_counts)
        message = f"{where}: dataset {dataset!r} is not in {CLASS_FILE} ({names}). Add it there."
        report.add(InputError("dataset without classes", message))
        return None
    if known != dataset:
        report.note(f"lines that call {known} by the name {dataset}")
    if class_word is None:
        return ListedImage(split="", dataset=known, name=name, where=where, has_all_classes=True)
    class_index = int(class_word)
    if not 1 <= class_index < class_counts[known]:
        last = class_counts[known] - 1
        message = f"{where}: class {class_index} of {known}, which has 1 to {last}. Mend the line."
        report.add(InputError("class out of range", message))
        return None
    return ListedImage(split="", dataset=known, name=name, where=where, classes={class_index})


def _merge(
    images: dict[tuple[str, str, str], ListedImage],
    *,
    key: tuple[str, str, str],
    listed: ListedImage,
    report: BuildReport,
) -> None:
    known = images.setdefault(key, listed)
    if known is listed:
        return
    if listed.classes <= known.classes and listed.has_all_classes == known.has_all_classes:
        report.note("lines that repeat an earlier one")
    if listed.split == "test":
        known.split = "test"  # an official test image is never drawn for training
    known.classes |= listed.classes
    known.has_all_classes |= listed.has_all_classes
