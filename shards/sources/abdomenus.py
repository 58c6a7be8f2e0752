"""AbdomenUS: eight abdominal organs in coloured masks; only the real images are taken."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import PICTURE_SUFFIXES, RawTree, key_without, pair_files, with_one_mask

from .annotated_image import read_coloured_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

COLOURS = {
    "liver": (100, 0, 100),
    "kidney": (255, 255, 0),
    "pancreas": (0, 0, 255),
    "vessels": (255, 0, 0),
    "adrenals": (0, 255, 255),
    "gallbladder": (0, 255, 0),
    "bones": (255, 255, 255),
    "spleen": (255, 0, 255),
}
"""Red, green, blue."""

CARD = SourceCard(
    name="abdomenus",
    title="AbdomenUS (ussimandsegm)",
    licence="unknown",
    terms="Not found; look at the page on Kaggle before use.",
    citation="Vitale et al., Improving realism in patient-specific abdominal ultrasound, 2020",
    home_page="https://www.kaggle.com/datasets/ignaciorlando/ussimandsegm",
    layout="AbdomenUS.zip, or abdominal_US/ with RUS/images/SPLIT/ and RUS/annotations/SPLIT/",
    categories={
        "liver": "liver",
        "kidney": "kidney",
        "pancreas": "pancreas",
        "vessels": "vessel",
        "adrenals": "adrenal_gland",
        "gallbladder": "gallbladder",
        "bones": "bone",
        "spleen": "spleen",
    },
    subject_rule="none that is known, each image stands alone",
    official_split=(
        "train/ and test/ exist and are not followed: of the real images only some of test/ are "
        "annotated"
    ),
    quirks=(
        "Masks are painted in red, green, blue; read the other way round, kidney and adrenals, "
        "pancreas and vessels change places.",
        "A pixel is of the nearest colour within 60 levels; others are background, and counted.",
        "An image without annotation is left out and counted; an all-black mask is a negative.",
    ),
    exclusions=("AUS/: images simulated from computed tomography, not ultrasound.",),
    unverified=(
        "the folders RUS, AUS, train and test",
        "that the table of colours is red, green, blue",
        "that pancreas, adrenals and bones were looked for in the real images",
    ),
)


def find_abdomenus(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `RUS/images/SPLIT/NAME` with `RUS/annotations/SPLIT/NAME`."""
    simulated = tree.select(PICTURE_SUFFIXES, within="AUS")
    if simulated:
        report.note("files of simulated images that were left out", count=len(simulated))
    pairs = pair_files(
        tree.select(PICTURE_SUFFIXES, within="images", outside="AUS"),
        masks=tree.select({".png"}, within="annotations", outside="AUS"),
        image_key=lambda file: key_without(file, "images"),
        mask_key=lambda file: key_without(file, "annotations"),
        report=report,
        without_mask="drop",
    )
    for pair in with_one_mask(pairs, report=report):
        (mask,) = pair.masks
        yield FoundImage(
            name=f"{pair.image.folder}-{pair.image.stem}",
            files=(pair.image, mask),
            read=partial(read_coloured_image, pair.image, mask=mask, colours=COLOURS),
        )


ABDOMENUS = PublishedSource(card=CARD, find=find_abdomenus)
