"""BUID: breast ultrasound images database, BMP images with TIFF masks."""

import re
from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="buid",
    title="BUID (qamebi breast ultrasound images database)",
    licence="unknown",
    terms="None found.",
    citation="Ardakani et al., An open-access breast lesion ultrasound image database, 2023",
    home_page="https://qamebi.com/breast-ultrasound-images-database/",
    layout="Benign.zip and Malignant.zip, or the folders Benign/ and Malignant/",
    categories={"Benign": "breast_nodule_benign", "Malignant": "breast_nodule_malignant"},
    subject_rule="none in the names, each image stands alone",
    quirks=(
        "Numbers begin anew in each folder.",
        "Masks are grey: values from 150 count.",
    ),
    exclusions=("`N Benign Lesion.bmp`: the lesion cut out of the image.",),
    unverified=("the numbers in the names, and the Lesion files",),
)

_NAME = re.compile(r"(?P<number>\d+) (?P<pathology>Benign|Malignant) (?P<part>Image|Mask|Lesion)")


def find_buid(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `1 Benign Image.bmp` with `1 Benign Mask.tif`."""
    pairs = pair_files(
        tree.select({".bmp"}),
        masks=tree.select({".tif", ".tiff"}),
        image_key=lambda file: _key(file, part="Image"),
        mask_key=lambda file: _key(file, part="Mask"),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        pathology = pair.key.partition("/")[0]
        masks = tuple(MaskFile(category=pathology, file=file, at_least=150) for file in pair.masks)
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


def _key(file: RawFile, *, part: str) -> str | None:
    matched = _NAME.fullmatch(file.stem)
    if matched is None or matched["part"] != part:
        return None
    return f"{matched['pathology']}/{int(matched['number']):03d}"


BUID = PublishedSource(card=CARD, find=find_buid)
