"""Own data as NIfTI and MetaImage files: images and volumes of class values."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.image_file import image_from_array
from shards.own_data_config import NiftiConfig
from shards.reading import (
    VOLUME_SUFFIXES,
    FilePair,
    PathPattern,
    RawFile,
    RawTree,
    Volume,
    local_path,
    read_volume,
    with_one_mask,
)

from .annotated_image import AnnotatedImage
from .folder import split_classes
from .own_data import Classes, OwnData, plan_own_data
from .own_pairs import each_pair, pair_by_pattern
from .published_source import FoundImage
from .source_plan import SourcePlan


def plan_nifti(config: BuildConfig, report: BuildReport) -> SourcePlan:
    """Plan the frames of every volume that the patterns pair with labels."""
    options = config.nifti
    data = OwnData.from_options(options, layout=f"{options.images} and {options.masks}")
    find = partial(find_frames, options=options, data=data)
    return plan_own_data(data, find=find, config=config, report=report)


def find_frames(
    tree: RawTree, report: BuildReport, *, options: NiftiConfig, data: OwnData
) -> Iterable[FoundImage]:
    """Pair volumes by `nifti.images` and `nifti.masks`."""
    masks = PathPattern(options.masks, option="nifti.masks")
    if set(masks.words) & {"frame", "category"}:
        raise ValueError(f"{masks}: labels have neither {{frame}} nor {{category}}. Put *.")
    pairs = pair_by_pattern(
        tree.select(VOLUME_SUFFIXES),
        images=PathPattern(options.images, option="nifti.images"),
        masks=masks,
        tree=tree,
        without_mask=options.without_mask,
        report=report,
    )

    def find(pair: FilePair) -> Iterator[FoundImage]:
        mask = pair.masks[0] if pair.masks else None
        for frame in _frames_to_take(pair.image, mask=mask, options=options, report=report):
            yield data.found(
                pair.key,
                path=local_path(pair.image, tree=tree),
                files=(pair.image, *pair.masks),
                read=partial(
                    read_frame,
                    pair.image,
                    mask=mask,
                    frame=frame,
                    axes=options.axes,
                    classes=data.classes,
                ),
                sequence=pair.key,
                frame=frame,
            )

    return each_pair(with_one_mask(pairs, report=report), report=report, find=find)


def read_frame(
    image: RawFile, *, mask: RawFile | None, frame: int, axes: str, classes: Classes
) -> AnnotatedImage:
    """Read one frame of an image volume, and of a volume of class values of the same shape."""
    volume = read_volume(image)
    pixels, window = volume.as_8_bits()
    masks: dict[str, np.ndarray] = {}
    if mask is not None:
        labels = read_volume(mask)
        if labels.values.shape != volume.values.shape:
            raise InputError(
                "mask of another size",
                f"{mask}: the labels are {_shown(labels)}, the image {_shown(volume)} (axes from "
                "last to first). Fix the source, or take both files out.",
            )
        values = np.rint(_frames(labels.values, axes=axes, where=mask)[frame]).astype(np.int64)
        masks = split_classes(values, classes=classes, where=f"{mask}, frame {frame}")
    return AnnotatedImage(
        image=image_from_array(
            _frames(pixels, axes=axes, where=image)[frame], intensity_window=window
        ),
        masks=tuple(masks.items()),
        spacing_millimetres=_spacing(volume, axes=axes),
    )


def _frames_to_take(
    image: RawFile, *, mask: RawFile | None, options: NiftiConfig, report: BuildReport
) -> list[int]:
    """Return the frames by `nifti.frames`; without a mask all of them, since they were kept."""
    frames = _frames(read_volume(mask or image).values, axes=options.axes, where=mask or image)
    if mask is None or options.frames == "all":
        return list(range(len(frames)))
    marked = [place for place, values in enumerate(frames) if values.any()]
    if len(marked) < len(frames):
        report.note("frames without a mark, left out", count=len(frames) - len(marked))
    return marked


def _frames(values: np.ndarray, *, axes: str, where: RawFile) -> np.ndarray:
    """Return the array as (frame row column); one frame where `axes` names none."""
    names = "xyzt"[: values.ndim][::-1]
    lengths = dict(zip(names, values.shape, strict=False))
    unnamed = [name for name in names if name not in axes]
    lacks = set(axes) - set(names) - set(axes[:-2])
    if values.ndim > 4 or lacks or any(lengths[name] > 1 for name in unnamed):
        found = ", ".join(f"{lengths[name]} along {name}" for name in reversed(names))
        raise InputError(
            "axes that do not fit",
            f"{where}: has {found}; nifti.axes={axes} names frame, row and column. Give the axes "
            "that the file has; those that are left out must be of length 1.",
        )
    flat = np.squeeze(values, axis=tuple(names.index(name) for name in unnamed))
    left = [name for name in names if name in axes]
    turned = np.transpose(flat, [left.index(name) for name in axes if name in left])
    return turned if turned.ndim == 3 else turned[np.newaxis]


def _spacing(volume: Volume, *, axes: str) -> tuple[float, float] | None:
    if volume.spacing_millimetres is None:
        return None
    along = dict(zip("xyzt", reversed(volume.spacing_millimetres), strict=False))
    return along[axes[-2]], along[axes[-1]]


def _shown(volume: Volume) -> str:
    return " x ".join(str(side) for side in volume.values.shape)
