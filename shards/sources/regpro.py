"""regPro: transrectal ultrasound volumes of the prostate, several overlapping labels each."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.image_file import image_from_array
from shards.reading import (
    FilePair,
    RawFile,
    RawTree,
    num_frames_of,
    pair_files,
    read_volume,
    with_one_mask,
)

from .annotated_image import AnnotatedImage
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="regpro",
    title="regPro (registration of prostate MRI and ultrasound)",
    licence="unknown",
    terms="Look them up at the Zenodo record that your copy comes from (7870104 or 8004388).",
    citation="Baum et al., MR to ultrasound registration for prostate challenge, 2023",
    home_page="https://muregpro.github.io",
    layout="regPro.zip (train.zip, val.zip), or folders with us_images/ and us_labels/",
    categories={0: "prostate", **dict.fromkeys(range(1, 6), "prostate_landmark")},
    subject_rule="the number of the case",
    sequence_rule="the volume; frames are its sagittal slices, along the first stored axis",
    spacing_rule="of the NIfTI header",
    official_split="train and val, by the name of the archive or folder",
    quirks=(
        "Labels are 4-D, one binary volume per channel; they overlap, and each is an object.",
        "Slices are turned by 180 degrees, as in the published converter.",
        "Values beyond 8 bits are brought to 8 by one window for the volume.",
        "Slices without a label are negatives; the published converter leaves them out.",
    ),
    exclusions=("mr_images and mr_labels: not ultrasound.",),
    unverified=(
        "that channel 0 is the prostate and the others are landmarks inside and around it",
        "names of the folders, and which way is up",
    ),
)

_SPLITS = {"train": "train", "train.zip": "train", "val": "validation", "val.zip": "validation"}


def find_regpro(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `us_images/case000001.nii.gz` with the file of that name in `us_labels/`."""
    pairs = pair_files(
        tree.select({".nii", ".nii.gz"}, within="us_images"),
        masks=tree.select({".nii", ".nii.gz"}, within="us_labels"),
        image_key=_key_of,
        mask_key=_key_of,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        try:
            yield from _found_slices(pair, num_slices=num_frames_of(pair.image, axis=0))
        except ValueError as error:
            report.add(InputError("unreadable or unsupported file", str(error)))


def _split_of(file: RawFile) -> str | None:
    return next((_SPLITS[one] for one in reversed(file.folders) if one in _SPLITS), None)


def _key_of(file: RawFile) -> str:
    return f"{_split_of(file) or 'case'}/{file.stem}"


def _found_slices(pair: FilePair, *, num_slices: int) -> Iterator[FoundImage]:
    for place in range(num_slices):
        yield FoundImage(
            name=f"{pair.key}_{place:04d}",
            files=(pair.image, *pair.masks),
            read=partial(read_sagittal_slice, pair.image, mask=pair.masks[0], place=place),
            subject=pair.key.partition("/")[2],
            sequence=pair.key,
            frame=place,
            split=_split_of(pair.image),
        )


def read_sagittal_slice(image: RawFile, *, mask: RawFile, place: int) -> AnnotatedImage:
    """Read one slice of the first stored axis, rows along the last, turned by 180 degrees."""
    volume, labels = read_volume(image), read_volume(mask).values
    channels = labels.reshape(-1, *labels.shape[-3:])
    if channels.shape[1:] != volume.values.shape:
        raise InputError(
            "mask of another size",
            f"{mask}: the labels are {labels.shape}, the image is {volume.values.shape} (slowest "
            "axis first). Fix the source, or take both files out.",
        )
    pixels, window = volume.as_8_bits()
    spacing = volume.spacing_millimetres
    return AnnotatedImage(
        image=image_from_array(np.rot90(pixels[:, :, place], k=2), intensity_window=window),
        masks=tuple(
            (channel, np.rot90(values[:, :, place] != 0, k=2))
            for channel, values in enumerate(channels)
        ),
        spacing_millimetres=None if spacing is None else (spacing[0], spacing[1]),
    )


REGPRO = PublishedSource(card=CARD, find=find_regpro)
