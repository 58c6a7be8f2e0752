"""S1: breast tumours, benign and malignant as two grey levels of one mask."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from shards.build_report import BuildReport
from shards.reading import (
    PICTURE_SUFFIXES,
    RawFile,
    RawTree,
    grey_values,
    pair_files,
    with_one_mask,
)

from .annotated_image import AnnotatedImage, check_sizes, open_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="s1",
    title="S1 (breast tumours, expanded labels)",
    licence="unknown",
    terms="None stated where it was looked for.",
    citation="Guo et al., Segmentation and recognition of breast ultrasound images, 2021",
    home_page="https://www.ncbi.nlm.nih.gov/pmc/articles/PMC8205136",
    layout="S1.zip, or Data/ with TrainingDataSet/ and TestingDataSet/",
    categories={127: "breast_nodule_benign", 255: "breast_nodule_malignant"},
    subject_rule="none in the names, each image stands alone",
    official_split="folders TrainingDataSet and TestingDataSet",
    quirks=(
        "Training or testing and the number make the name.",
        "Grey values up to 8 off 127 or 255 count as these; other ones are noted.",
    ),
    exclusions=("General-1-channel-Labels and their copies of the images: the same tumours.",),
    unverified=("names of the folders", "that numbers repeat between training and testing"),
)

TOLERANCE = 8
_SPLITS = {"TrainingDataSet": "train", "TestingDataSet": "test"}
_IMAGES = {"BreastTumourImages", "Test-Expanded-BreastTumourImages"}
_LABELS = {"Expanded-3-channel-Labels", "Test-Expanded-3-channel-Labels"}


def find_s1(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `BreastTumourImages/0.jpg` with `Expanded-3-channel-Labels/0.png` of its part."""
    files = tree.select(PICTURE_SUFFIXES)
    pairs = pair_files(
        [file for file in files if file.folder in _IMAGES],
        masks=[file for file in files if file.folder in _LABELS],
        image_key=_key_of,
        mask_key=_key_of,
        report=report,
    )
    return [
        FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_grey_levels, pair.image, mask=pair.masks[0]),
            split=pair.key.split("/")[0],
        )
        for pair in with_one_mask(pairs, report=report)
    ]


def _key_of(file: RawFile) -> str | None:
    split = next((_SPLITS[one] for one in file.folders if one in _SPLITS), None)
    return None if split is None else f"{split}/{file.stem}"


def read_grey_levels(image: RawFile, *, mask: RawFile) -> AnnotatedImage:
    """Read an image and a mask of two grey levels."""
    picture = open_image(image)
    values = grey_values(mask).astype(np.int16)
    masks = {level: np.abs(values - level) <= TOLERANCE for level in (127, 255)}
    check_sizes(picture.pixels, masks=masks, where=str(mask))
    is_other = (values > TOLERANCE) & ~masks[127] & ~masks[255]
    notes = ("s1: masks with grey values beside 0, 127 and 255",) if is_other.any() else ()
    return AnnotatedImage(image=picture, masks=tuple(masks.items()), notes=notes)


S1 = PublishedSource(card=CARD, find=find_s1)
