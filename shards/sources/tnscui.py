"""TNSCUI 2020: thyroid nodules, in the challenge's tree or in a repacked one."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import (
    PICTURE_SUFFIXES,
    RawFile,
    RawTree,
    index_masks,
    pair_files,
    with_one_mask,
)

from .annotated_image import AnnotatedImage, check_sizes, open_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="tnscui",
    title="TNSCUI 2020 (thyroid nodules)",
    licence="unknown",
    terms="Those of the challenge; not checked.",
    citation="TN-SCUI 2020, thyroid nodule segmentation and classification in ultrasound images",
    home_page="https://tn-scui2020.grand-challenge.org",
    layout="tnscui.tar.gz (JPEGImages/, SegmentationClass/) or TNSCUI2020_train/ (image/, mask/)",
    categories={"nodule": "thyroid_nodule"},
    subject_rule="none in the names, each image stands alone",
    quirks=("Masks hold 0 and 1, or 0 and 255, as grey or palette values; others are refused.",),
    exclusions=("train.csv (benign, malignant): the order of its labels is not known.",),
    unverified=("values of the repacked masks",),
)


def find_tnscui(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `JPEGImages/1.jpg` with `SegmentationClass/1.png`, `image/1.PNG` with `mask/1.PNG`."""
    files = tree.select(PICTURE_SUFFIXES)
    pairs = pair_files(
        [file for file in files if file.folder in {"JPEGImages", "image"}],
        masks=[file for file in files if file.folder in {"SegmentationClass", "mask"}],
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_nodules, pair.image, mask=pair.masks[0]),
        )


def read_nodules(image: RawFile, *, mask: RawFile) -> AnnotatedImage:
    """Read an image and a mask of which nobody said whether 1 or 255 is the nodule."""
    picture = open_image(image)
    masks = index_masks(mask, classes=(1, 255))
    check_sizes(picture.pixels, masks=masks, where=str(mask))
    if len(masks) > 1:
        raise ValueError(
            f"{mask}: holds both 1 and 255; expected one of them beside 0. Fix the mask, or take "
            "the image out."
        )
    return AnnotatedImage(image=picture, masks=tuple(("nodule", one) for one in masks.values()))


TNSCUI = PublishedSource(card=CARD, find=find_tnscui)
