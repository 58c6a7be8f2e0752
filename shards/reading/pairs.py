"""Images and their masks, found by name: each image once, nothing overwritten, nothing lost."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from shards.build_report import BuildReport, InputError

from .raw_files import RawFile

Unpaired = Literal["refuse", "drop", "keep"]
"""A problem for each; a counted note for each; or (images alone) an image without an object."""

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class FilePair:
    """An image with all its masks; it may have none where the source keeps such images."""

    key: str
    image: RawFile
    masks: tuple[RawFile, ...]


def pair_files(
    images: Iterable[RawFile],
    *,
    masks: Iterable[RawFile],
    image_key: Callable[[RawFile], str | None],
    mask_key: Callable[[RawFile], str | None],
    report: BuildReport,
    without_mask: Unpaired = "refuse",
    without_image: Unpaired = "refuse",
) -> list[FilePair]:
    """Pair files whose keys agree, in the order of the images.

    Two images of one key are a problem. A file whose key function gives None is no part of the
    dataset as documented: it is noted and left out.

    Args:
        images: Candidates for images.
        masks: Candidates for masks; an image may have several.
        image_key: What an image is called: folder and stem, not the stem alone.
        mask_key: What the image of a mask is called.
        report: Gets what does not fit.
        without_mask: What to do with an image that has no mask.
        without_image: What to do with a mask that has no image (`keep` makes no sense).
    """
    images_by_key = _by_key(images, key_of=image_key, report=report)
    masks_by_key = _by_key(masks, key_of=mask_key, report=report)
    pairs = []
    for key, found in images_by_key.items():
        if len(found) > 1:
            report.add(_two_files(key, found, kind="image"))
        partners = tuple(masks_by_key.pop(key, ()))
        if not partners and without_mask != "keep":
            _report_lone(found[0], lacks="a mask", name=key, way=without_mask, report=report)
            continue
        pairs.append(FilePair(key=key, image=found[0], masks=partners))
    for key, found in masks_by_key.items():
        for file in found:
            _report_lone(file, lacks="an image", name=key, way=without_image, report=report)
    return pairs


def with_one_mask(pairs: Iterable[FilePair], *, report: BuildReport) -> list[FilePair]:
    """Return the pairs that have exactly one mask; more than one is a problem.

    For sources of one mask an image: of two, one would be taken and the other lost.
    """
    kept = []
    for pair in pairs:
        if len(pair.masks) > 1:
            report.add(_two_files(pair.key, pair.masks, kind="mask"))
        else:
            kept.append(pair)
    return kept


def one_by_name(
    entries: Iterable[tuple[Name, Value, str]],
    *,
    what: Literal["files", "rows"],
    report: BuildReport,
) -> dict[Name, Value]:
    """Return what has a name; two that have one are an obstacle, as either could be meant.

    Rows that say the same may repeat. Of two that differ the first stays.

    Args:
        entries: Name, the file or what the row says, and where that stands, for messages.
        what: What the entries are, for messages.
        report: Gets the places of two that have one name.
    """
    first: dict[Name, tuple[Value, str]] = {}
    for name, value, where in entries:
        known, known_where = first.setdefault(name, (value, where))
        if known != value:
            shown = "/".join(map(str, name)) if isinstance(name, tuple) else str(name)
            message = f"{known_where} and {where}: both are of {shown!r}. Remove one."
            report.add(InputError(f"two {what} with one name", message), is_obstacle=True)
    return {name: value for name, (value, _) in first.items()}


def files_by_name(
    files: Iterable[RawFile], *, name_of: Callable[[RawFile], Name], report: BuildReport
) -> dict[Name, RawFile]:
    """Return the file of each name; as `one_by_name`."""
    entries = ((name_of(file), file, str(file)) for file in files)
    return one_by_name(entries, what="files", report=report)


def key_without(file: RawFile, *folders: str) -> str:
    """Return the path without extension and without the folders that tell images from masks.

    `a/Images/b/x.png` and `a/Masks/b/x.jpg` become `a/b/x`, so that only files of one place pair.
    """
    kept = [name for name in file.folders if name not in folders]
    return "/".join([*kept, file.stem])


def _by_key(
    files: Iterable[RawFile],
    *,
    key_of: Callable[[RawFile], str | None],
    report: BuildReport,
) -> dict[str, list[RawFile]]:
    found: dict[str, list[RawFile]] = defaultdict(list)
    for file in files:
        key = key_of(file)
        if key is None:
            report.note("files whose name does not fit the documented layout")
        else:
            found[key].append(file)
    return found


def _two_files(key: str, found: Sequence[RawFile], *, kind: str) -> InputError:
    names = " and ".join(str(file) for file in found)
    return InputError(
        "two files with one name",
        f"{names}: both would be the {kind} of {key!r}. Remove one.",
    )


def _report_lone(
    file: RawFile, *, lacks: str, name: str, way: Unpaired, report: BuildReport
) -> None:
    if way == "refuse":
        message = f"{file}: {name!r} lacks {lacks}. Restore the missing file, or remove this one."
        report.add(InputError("file missing", message))
    else:
        report.note(f"files that lack {lacks} and were left out")
