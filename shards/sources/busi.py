"""BUSI: breast ultrasound of three classes in three flat folders, blanks in the names."""

import re
from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import PICTURE_SUFFIXES, FilePair, RawFile, RawTree, pair_files

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="busi",
    title="BUSI (Dataset of breast ultrasound images)",
    licence="unknown",
    terms="A CC0 tag on Kaggle; no statement by the authors was seen.",
    citation="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 2020",
    home_page="https://doi.org/10.1016/j.dib.2019.104863",
    layout="BUSI.zip, or Dataset_BUSI_with_GT/ with benign/, malignant/ and normal/",
    categories={"benign": "breast_nodule_benign", "malignant": "breast_nodule_malignant"},
    subject_rule="none in the names, each image stands alone",
    quirks=(
        "An image may have several masks (_mask, _mask_1, _mask_2): each is an object.",
        "normal/ has masks too, all empty: its images are negatives.",
        "Masks come as 1 bit, RGB and RGBA.",
        "A letter on the dataset (PMC10293973) and the card of a mirror report 235 duplicated "
        "images (19 %), lesions that are in both classes, images of the axilla, and 295 images "
        "with calipers or other marks on them: audit before use.",
    ),
)

_FOLDERS = ("benign", "malignant", "normal")
_MASK = re.compile(r"(?P<image>.+)_mask(_\d+)?")


def find_busi(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `benign (1).png` with `benign (1)_mask.png`, `benign (1)_mask_1.png` and so on."""
    files = [file for file in tree.select(PICTURE_SUFFIXES) if file.folder in _FOLDERS]
    pairs = pair_files(
        [file for file in files if not _MASK.fullmatch(file.stem)],
        masks=[file for file in files if _MASK.fullmatch(file.stem)],
        image_key=lambda file: f"{file.folder}/{file.stem}",
        mask_key=_image_of_mask,
        report=report,
    )
    return [_found(pair) for pair in pairs]


def _image_of_mask(file: RawFile) -> str | None:
    matched = _MASK.fullmatch(file.stem)
    return f"{file.folder}/{matched['image']}" if matched else None


def _found(pair: FilePair) -> FoundImage:
    masks = tuple(
        # Those of `normal` are empty; one that is not would be a lesion of no known class.
        MaskFile(category=pair.image.folder, file=file, at_least=150)
        for file in pair.masks
    )
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(read_masked_image, pair.image, masks=masks),
    )


BUSI = PublishedSource(card=CARD, find=find_busi)
