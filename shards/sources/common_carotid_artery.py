"""Common carotid artery: frames of fifteen series, images and expert masks of one name."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import FilePair, RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="common_carotid_artery",
    title="Common Carotid Artery Ultrasound Images",
    licence="CC-BY-4.0",
    terms="The licence was not read on the record itself.",
    citation="Momot, Common carotid artery ultrasound images, Mendeley Data d4xt63mgjm, version 1",
    home_page="https://data.mendeley.com/datasets/d4xt63mgjm/1",
    layout="Common Carotid Artery Ultrasound Images.zip, or US images/ and Expert mask images/",
    categories={"artery": "carotid_artery"},
    subject_rule="unknown (15 series of 11 persons, and no map); a series stays together",
    sequence_rule="the time stamp before `_slice_`",
    quirks=(
        "Neighbouring series may be of one person.",
        "Files without a partner (a mirror has 9 images and 41 masks) are left out and counted.",
    ),
)


def find_common_carotid_artery(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair files of one name in the two folders."""
    files = tree.select({".png"})
    pairs = pair_files(
        [file for file in files if not _is_mask(file)],
        masks=[file for file in files if _is_mask(file)],
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
        without_mask="drop",
        without_image="drop",
    )
    return [_found(pair) for pair in with_one_mask(pairs, report=report)]


def _is_mask(file: RawFile) -> bool:
    return "mask" in file.folder.lower()


def _found(pair: FilePair) -> FoundImage:
    series, _, number = pair.key.partition("_slice_")
    masks = tuple(MaskFile(category="artery", file=file) for file in pair.masks)
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(read_masked_image, pair.image, masks=masks),
        sequence=series,
        frame=int(number) if number.isdigit() else None,
    )


COMMON_CAROTID_ARTERY = PublishedSource(card=CARD, find=find_common_carotid_artery)
