"""Thyroid Ultrasound Cine-clip: nodules, frame by frame, in one large HDF5 file."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from shards.build_report import BuildReport
from shards.image_file import image_from_array
from shards.reading import RawFile, RawTree, Volume, hdf5_column, hdf5_frame

from .annotated_image import AnnotatedImage
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="thyroidultrasoundcineclip",
    title="Thyroid Ultrasound Cine-clip",
    licence="LicenseRef-on-request",
    terms="Registration at Stanford AIMI; the terms are shown there.",
    citation="Stanford AIMI, Thyroid ultrasound cine-clip, 2021",
    home_page="https://stanfordaimi.azurewebsites.net",
    layout="a folder with dataset.hdf5, which holds annot_id, frame_num, image and mask",
    categories={"nodule": "thyroid_nodule"},
    subject_rule="what annot_id has before its first underscore",
    sequence_rule="annot_id is the clip, frame_num the frame",
    quirks=(
        "Masks outline nodules, whatever a converter calls the class; holes in them are filled.",
        "Frames with an empty mask are negatives.",
    ),
    unverified=(
        "whether the number in annot_id is the patient's: metadata.csv links 192 nodules to 167 "
        "patients, and its columns were not seen",
        "that images are 8-bit grey",
    ),
)

_ARRAYS = ("annot_id", "frame_num", "image", "mask")


def find_cine_clips(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Yield every frame of the file, from its columns of ids and numbers."""
    del report  # the file's shape is checked where it is opened
    for file in tree.select({".hdf5", ".h5"}):
        clips = hdf5_column(file, name="annot_id", names=_ARRAYS)
        numbers = hdf5_column(file, name="frame_num", names=_ARRAYS)
        for index, (clip, number) in enumerate(zip(clips, numbers, strict=True)):
            name = str(clip).strip("_")
            yield FoundImage(
                name=f"{name}_{int(number):05d}",
                files=(file,),
                read=partial(read_frame, file, index=index),
                subject=name.split("_")[0],
                sequence=name,
                frame=int(number),
            )


def read_frame(file: RawFile, *, index: int) -> AnnotatedImage:
    """Read one frame; a mask of another size shows as a problem of the sample."""
    from scipy import ndimage  # noqa: PLC0415 -- readers of shards never need it

    values = hdf5_frame(file, name="image", index=index, names=_ARRAYS)
    pixels, window = Volume(values=values, spacing_millimetres=None).as_8_bits()
    mask = hdf5_frame(file, name="mask", index=index, names=_ARRAYS) != 0
    return AnnotatedImage(
        image=image_from_array(pixels, intensity_window=window),
        masks=(("nodule", np.asarray(ndimage.binary_fill_holes(mask))),),
    )


THYROIDULTRASOUNDCINECLIP = PublishedSource(card=CARD, find=find_cine_clips)
