"""105US: liver metastases, one running number for images and masks."""

import re
from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="105us",
    title="105US",
    licence="unknown",
    terms="None found; the images lie on a page of ResearchGate.",
    citation="105 US images and masks, ResearchGate publication 329586355",
    home_page="https://www.researchgate.net/publication/329586355",
    layout="PNG files; those in a folder with `Masks` in its name are masks",
    categories={"tumor": "liver_lesion"},
    subject_rule="none in the names, each image stands alone",
    quirks=("Names begin with a number; what follows a blank is ignored, and 007 is 7.",),
    unverified=(
        "the folders 105 US Images and 105 US Masks",
        "that the lesions are liver metastases",
        "that masks have the size of their images",
    ),
)


def find_us105(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair by the number that names begin with."""
    files = tree.select({".png"})
    pairs = pair_files(
        [file for file in files if not _is_mask(file)],
        masks=[file for file in files if _is_mask(file)],
        image_key=_number,
        mask_key=_number,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        masks = tuple(MaskFile(category="tumor", file=file) for file in pair.masks)
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


def _is_mask(file: RawFile) -> bool:
    return "Masks" in file.folder


def _number(file: RawFile) -> str | None:
    matched = re.fullmatch(r"(\d+)( .*)?", file.stem)
    return f"{int(matched[1]):03d}" if matched else None


US105 = PublishedSource(card=CARD, find=find_us105)
