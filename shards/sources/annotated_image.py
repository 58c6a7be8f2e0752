"""One image with its masks in memory, and the common ways in which sources store the two."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from shards.build_report import InputError
from shards.image_file import ImageFile, image_from_array, image_from_bytes
from shards.reading import (
    RawFile,
    colour_masks,
    fill_outline,
    index_masks,
    open_video,
    read_volume,
    resize_mask,
    split_values,
    threshold_mask,
)
from shards.reading.masks import HALF_RANGE

MAX_STRANGE_SHARE = 0.05
"""Of the pixels of a coloured mask: so many may be near none of its colours."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedImage:
    """What a source read for one sample, in the classes of its own files."""

    image: ImageFile
    masks: tuple[tuple[str | int, np.ndarray], ...] = ()
    """Class as the card names it, and bool mask (row column); empty masks are no objects."""

    spacing_millimetres: tuple[float, float] | None = None
    """Distance of pixel centres along rows and along columns."""

    notes: tuple[str, ...] = ()
    """What was noticed and is worth a count."""


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """A mask picture of one class."""

    category: str | int
    file: RawFile
    at_least: int = HALF_RANGE
    """Grey value from which a pixel counts."""

    is_outline: bool = False
    """Only the border is drawn; what it encloses is the object."""

    may_have_other_size: bool = False
    """The source scales masks and images apart; the mask is brought to the image's size."""


def open_image(file: RawFile) -> ImageFile:
    """Read a picture file as shards store it."""
    return image_from_bytes(file.read_bytes(), where=str(file))


def read_masked_image(image: RawFile, *, masks: tuple[MaskFile, ...]) -> AnnotatedImage:
    """Read an image and any number of pictures with one class each."""
    return _with_masks(open_image(image), masks=masks)


def read_masked_video_frame(
    video: RawFile, *, frame: int, masks: tuple[MaskFile, ...]
) -> AnnotatedImage:
    """Read one frame of a video, counted from 0, and pictures with one class each."""
    return _with_masks(image_from_array(open_video(video).frame(frame)), masks=masks)


def read_coloured_image(
    image: RawFile, *, mask: RawFile, colours: Mapping[str, tuple[int, int, int]]
) -> AnnotatedImage:
    """Read an image and a picture in which each class has a colour (red, green, blue).

    Pixels near no colour are background, as smoothing leaves them along the borders; more than
    `MAX_STRANGE_SHARE` of the picture is refused.
    """
    picture = open_image(image)
    masks, num_strange = colour_masks(mask, colours=colours)
    check_sizes(picture.pixels, masks=masks, where=str(mask))
    rows, columns = picture.pixels.shape[:2]
    if num_strange > MAX_STRANGE_SHARE * rows * columns:
        raise InputError(
            "mask in other colours",
            f"{mask}: {num_strange} pixels are near none of the colours {dict(colours)}. Check "
            "whether this is the mask, or take both files out.",
        )
    notes = ("masks with pixels of no known colour, taken as background",) if num_strange else ()
    return AnnotatedImage(image=picture, masks=tuple(masks.items()), notes=notes)


def read_indexed_image(
    image: RawFile, *, mask: RawFile, classes: Collection[int]
) -> AnnotatedImage:
    """Read an image and a picture whose values are classes."""
    picture, masks = open_image(image), index_masks(mask, classes=classes)
    check_sizes(picture.pixels, masks=masks, where=str(mask))
    return AnnotatedImage(image=picture, masks=tuple(masks.items()))


def read_volume_frame(
    image: RawFile,
    *,
    mask: RawFile,
    frame: int,
    classes: Collection[int],
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
) -> AnnotatedImage:
    """Read one frame (of the first axis) of an image volume and of a volume of class values.

    Args:
        image: Its volume, (frame row column).
        mask: The volume of classes, of the same shape.
        frame: Index, from 0.
        classes: Values that may occur beside 0.
        prepare: Turns or mirrors a frame, where the file stores it so; a function of a module.
    """
    volume, labels = read_volume(image), read_volume(mask)
    if volume.values.shape != labels.values.shape:
        raise InputError(
            "mask of another size",
            f"{mask}: the mask is {_shown(labels.values)}, the image {_shown(volume.values)} "
            "(frames, rows, columns). Fix the source, or take both files out.",
        )
    pixels, window = volume.as_8_bits()
    prepare = prepare or _as_it_is
    values = np.rint(np.asarray(prepare(labels.values[frame]), dtype=np.float64)).astype(np.int64)
    masks = split_values(values, classes=classes, where=f"{mask}, frame {frame}")
    spacing = volume.spacing_millimetres
    return AnnotatedImage(
        image=image_from_array(prepare(pixels[frame]), intensity_window=window),
        masks=tuple(masks.items()),
        spacing_millimetres=None if spacing is None else (spacing[-2], spacing[-1]),
    )


def read_drawn_frame(
    video: RawFile, *, frame: int, draw: Callable[[tuple[int, int]], Mapping[str, np.ndarray]]
) -> AnnotatedImage:
    """Read one frame of a video, counted from 0; `draw` makes its masks from rows and columns."""
    pixels = open_video(video).frame(frame)
    rows, columns = pixels.shape[:2]
    return AnnotatedImage(
        image=image_from_array(pixels), masks=tuple(draw((rows, columns)).items())
    )


def check_sizes(
    pixels: np.ndarray, *, masks: Mapping[int, np.ndarray] | Mapping[str, np.ndarray], where: str
) -> None:
    """Raise `InputError` where a mask is not of the image's size."""
    size = pixels.shape[:2]
    for mask in masks.values():
        if mask.shape != size:
            raise InputError(
                "mask of another size",
                f"{where}: the mask is {mask.shape[0]} x {mask.shape[1]} pixels, the image is "
                f"{size[0]} x {size[1]}. Fix the source, or take both files out.",
            )


def _with_masks(picture: ImageFile, *, masks: tuple[MaskFile, ...]) -> AnnotatedImage:
    size = (picture.pixels.shape[0], picture.pixels.shape[1])
    found = [(mask.category, *_read_mask(mask, size=size)) for mask in masks]
    num_resized = sum(is_resized for _, _, is_resized in found)
    return AnnotatedImage(
        image=picture,
        masks=tuple((category, mask) for category, mask, _ in found),
        notes=("masks brought to the size of their image",) * num_resized,
    )


def _read_mask(mask: MaskFile, *, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    values = threshold_mask(mask.file, at_least=mask.at_least)
    if mask.is_outline:
        values = fill_outline(values, where=str(mask.file))
    if values.shape != size and mask.may_have_other_size:
        return resize_mask(values, size=size), True
    check_sizes(np.empty(size, dtype=np.uint8), masks={0: values}, where=str(mask.file))
    return values, False


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def _shown(values: np.ndarray) -> str:
    return " x ".join(str(side) for side in values.shape)
