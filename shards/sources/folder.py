"""Own data as pictures and mask pictures, paired by pattern."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.image_file import label_from_bytes, open_picture
from shards.own_data_config import FolderConfig
from shards.reading import (
    PICTURE_SUFFIXES,
    FilePair,
    PathPattern,
    RawFile,
    RawTree,
    grey_values,
    local_path,
)
from shards.reading.masks import HALF_RANGE

from .annotated_image import AnnotatedImage, check_sizes, open_image
from .own_data import Classes, OwnData, plan_own_data
from .own_pairs import each_pair, pair_by_pattern
from .published_source import FoundImage
from .source_plan import SourcePlan

FOREGROUND = "foreground"
"""The class of masks that show one thing, whatever value they show it with."""

MAX_VALUES = 64
"""More different values in one mask are no classes, but what compression made of some."""


def plan_folder(config: BuildConfig, report: BuildReport) -> SourcePlan:
    """Plan every image that the patterns pair with a mask."""
    options = config.folder
    data = OwnData.from_options(options, layout=f"{options.images} and {options.masks}")
    find = partial(find_pictures, options=options, data=data)
    return plan_own_data(data, find=find, config=config, report=report)


def find_pictures(
    tree: RawTree, report: BuildReport, *, options: FolderConfig, data: OwnData
) -> Iterable[FoundImage]:
    """Pair pictures by `folder.images` and `folder.masks`."""
    masks = PathPattern(options.masks, option="folder.masks")
    if "frame" in masks.words:
        raise ValueError(f"{masks}: a picture has no {{frame}}. Call it {{name}}, or put *.")
    pairs = pair_by_pattern(
        tree.select(PICTURE_SUFFIXES),
        images=PathPattern(options.images, option="folder.images"),
        masks=masks,
        tree=tree,
        without_mask=options.without_mask,
        report=report,
    )

    def find(pair: FilePair) -> Iterator[FoundImage]:
        named = tuple(named_mask(file, pattern=masks, tree=tree, data=data) for file in pair.masks)
        yield data.found(
            pair.key,
            path=local_path(pair.image, tree=tree),
            files=(pair.image, *pair.masks),
            read=partial(read_picture, pair.image, masks=named, classes=data.classes),
        )

    return each_pair(pairs, report=report, find=find)


def named_mask(
    file: RawFile, *, pattern: PathPattern, tree: RawTree, data: OwnData
) -> tuple[str | None, RawFile]:
    """Return a mask with the class that its path names; None where its values tell.

    Raises:
        InputError: The class is not declared.
    """
    words = pattern.match(file, tree=tree) or {}
    if "category" in words:
        return data.classes.check(words["category"], where=str(file)), file
    return (FOREGROUND if data.classes.declared == (FOREGROUND,) else None), file


def read_picture(
    image: RawFile, *, masks: tuple[tuple[str | None, RawFile], ...], classes: Classes
) -> AnnotatedImage:
    """Read an image and its masks, each of one class, or with values for classes."""
    picture = open_image(image)
    return AnnotatedImage(
        image=picture, masks=read_masks(masks, image=picture.pixels, classes=classes)
    )


def read_masks(
    masks: tuple[tuple[str | None, RawFile], ...], *, image: np.ndarray, classes: Classes
) -> tuple[tuple[str, np.ndarray], ...]:
    """Return class and bool mask (row column) of every mask picture of one image."""
    found: list[tuple[str, np.ndarray]] = []
    for word, file in masks:
        if word is None:
            values = label_from_bytes(file.read_bytes(), where=str(file))
            several = split_classes(values, classes=classes, where=str(file))
        else:
            values = foreground(file, section=classes.section)
            several = {word: values}
        check_sizes(image, masks={0: values}, where=str(file))
        found += several.items()
    return tuple(found)


def foreground(file: RawFile, *, section: str) -> np.ndarray:
    """Return where a mask picture shows its one class: bool (row column).

    Of two levels the brighter one, whatever it is; with soft edges, what is at least half bright.

    Raises:
        InputError: Its levels look like several classes.
    """
    content = file.read_bytes()
    is_palette = open_picture(content, where=str(file)).mode == "P"
    values = label_from_bytes(content, where=str(file)) if is_palette else grey_values(file)
    levels = np.unique(values)
    if len(levels) == 1:
        return values > 0
    if len(levels) == 2:
        return values == levels[-1]
    if is_palette or levels[-1] < HALF_RANGE:
        raise InputError(
            "mask with several values",
            f"{file}: holds the values {_shown(levels)}, which look like classes, where one class "
            f"was expected. Declare them by value, as {section}.categories.1=CATEGORY, or save it "
            "with 0 and 255.",
        )
    return values >= HALF_RANGE


def split_classes(values: np.ndarray, *, classes: Classes, where: str) -> dict[str, np.ndarray]:
    """Return class and bool mask of every value but 0 that occurs.

    Raises:
        InputError: A value is not declared.
    """
    present = np.unique(values[values != 0])
    if len(present) > MAX_VALUES:
        raise InputError(
            "class that is not declared",
            f"{where}: holds {len(present)} values, as {_shown(present)}, which are no classes: a "
            "JPEG does not keep such. Save PNG files with one value for each class; a mask of one "
            f"class is declared as {classes.section}.categories.{FOREGROUND}=CATEGORY.",
        )
    return {classes.check(str(value), where=where): values == value for value in present}


def _shown(levels: np.ndarray) -> str:
    shown = ", ".join(str(level) for level in levels[:8])
    return f"{shown}, ..." if len(levels) > 8 else shown
