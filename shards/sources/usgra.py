"""USGRA: nerves and vessels in regional anaesthesia, index masks."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawTree, pair_files, with_one_mask

from .annotated_image import read_indexed_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="usgra",
    title="usgra-seg (ultrasound-guided regional anaesthesia)",
    licence="CC-BY-4.0",
    terms="Name the authors; the licence lies beside the images.",
    citation="tmkand, usgra-seg: ultrasound-guided regional anaesthesia",
    home_page="https://github.com/tmkand/usgra-seg",
    layout="a checkout with images/0000.png and masks/0000.png",
    categories={1: "nerve", 2: "vessel"},
    subject_rule="none in the names, each image stands alone",
    sequence_rule="not in the names; neighbouring numbers may be one acquisition",
    quirks=("Masks are palette pictures, whose values are the classes.",),
    unverified=("names of the classes: read off the images",),
)


def find_usgra(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `images/0000.png` with `masks/0000.png`."""
    pairs = pair_files(
        tree.select({".png"}, within="images"),
        masks=tree.select({".png"}, within="masks"),
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_indexed_image, pair.image, mask=pair.masks[0], classes=CARD.classes),
        )


USGRA = PublishedSource(card=CARD, find=find_usgra)
