"""ASUS: sweeps along the spine as plain numpy arrays."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.image_file import image_from_array
from shards.reading import RawFile, RawTree, num_entries_of, pair_files, read_array, with_one_mask

from .annotated_image import AnnotatedImage
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="asus",
    title="ASUS (spine surface in scoliosis)",
    licence="unknown",
    terms="None found; see the article.",
    citation="Ungi et al., Automatic spine ultrasound segmentation for scoliosis, PMC7654705",
    home_page="https://www.ncbi.nlm.nih.gov/pmc/articles/PMC7654705/",
    layout="ASUS.tar.gz, or pairs PREFIX_ultrasound.npy and PREFIX_segmentation.npy",
    categories={"spine": "spine"},
    subject_rule="unknown; a sweep stays together",
    sequence_rule="the array (file), frames along its first axis",
    quirks=(
        "Images are numbers from 0 to 1 and become 0 to 255.",
        "Images and masks are stored upside down and mirrored; both are turned by 180 degrees.",
        "A mask counts from 0.5. Frames with an empty mask are kept as negatives.",
    ),
    unverified=("the names of the arrays", "that the prefix tells sweeps apart"),
)


def find_asus(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair arrays by what stands before the last underscore."""
    files = tree.select({".npy"})
    pairs = pair_files(
        [file for file in files if not _is_mask(file)],
        masks=[file for file in files if _is_mask(file)],
        image_key=_prefix,
        mask_key=_prefix,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        (mask,) = pair.masks
        try:
            num_frames = num_entries_of(pair.image)
        except ValueError as error:
            report.add(InputError("unreadable or unsupported file", str(error)))
            continue
        for frame in range(num_frames):
            yield FoundImage(
                name=f"{pair.key}_{frame:04d}",
                files=(pair.image, mask),
                read=partial(_read, pair.image, mask=mask, frame=frame),
                sequence=pair.key,
                frame=frame,
            )


def _is_mask(file: RawFile) -> bool:
    return "segmentation" in file.stem.lower()


def _prefix(file: RawFile) -> str:
    return file.stem.rpartition("_")[0] or file.stem


def _read(image: RawFile, *, mask: RawFile, frame: int) -> AnnotatedImage:
    images, masks = read_array(image), read_array(mask)
    is_scaled = np.issubdtype(images.dtype, np.floating) and images[frame].max() <= 1.0
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not is_scaled:
        raise InputError(
            "array of another kind",
            f"{image}: frame {frame} of an array {images.shape} of {images.dtype}; expected "
            "(frames, rows, columns, channels) of numbers from 0 to 1. Fetch the file again.",
        )
    if masks.shape[:3] != images.shape[:3]:
        raise InputError(
            "mask of another size",
            f"{mask}: the mask is {masks.shape}, the image {images.shape}. Take both files out.",
        )
    pixels = np.rint(np.clip(images[frame, ::-1, ::-1], 0.0, 1.0) * 255.0).astype(np.uint8)
    is_grey = (pixels == pixels[..., :1]).all()
    outlined = masks[frame].reshape(masks.shape[1:3])[::-1, ::-1] >= 0.5
    return AnnotatedImage(
        image=image_from_array(pixels[..., 0] if is_grey else pixels), masks=(("spine", outlined),)
    )


ASUS = PublishedSource(card=CARD, find=find_asus)
