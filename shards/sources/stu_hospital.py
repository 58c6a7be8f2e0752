"""STU-Hospital: 42 breast images, whose masks mostly have another size."""

import re
from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="stu_hospital",
    title="STU-Hospital",
    licence="unknown",
    terms="None stated where it was looked for.",
    citation="Zhuang et al., An RDAU-NET model for lesion segmentation in breast ultrasound, 2019",
    home_page="https://github.com/xbhlk/STU-Hospital",
    layout="a checkout with Hospital/Test_Image_1.png and Hospital/mask_1.png",
    categories={"lesion": "breast_nodule"},
    subject_rule="none in the names, each image stands alone",
    official_split="none; others test on the whole of it",
    quirks=(
        "Masks have soft edges and, in 36 of 42 pairs, another size than their image with the same "
        "field of view: half range is the threshold, and they are brought to the image's size.",
        "Nothing says benign or malignant, whatever a converter calls the class.",
    ),
)

_NAME = re.compile(r"(Test_Image|mask)_(?P<number>\d+)")


def find_stu_hospital(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `Test_Image_1.png` with `mask_1.png`."""
    files = tree.select({".png"})
    pairs = pair_files(
        [file for file in files if not file.stem.startswith("mask")],
        masks=[file for file in files if file.stem.startswith("mask")],
        image_key=_number_of,
        mask_key=_number_of,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        masks = tuple(
            MaskFile(category="lesion", file=file, may_have_other_size=True) for file in pair.masks
        )
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


def _number_of(file: RawFile) -> str | None:
    matched = _NAME.fullmatch(file.stem)
    return matched["number"] if matched else None


STU_HOSPITAL = PublishedSource(card=CARD, find=find_stu_hospital)
