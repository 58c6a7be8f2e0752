"""BUS-UCLM: breast lesions in coloured masks, most of them normal images."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawTree, key_without, pair_files, with_one_mask

from .annotated_image import read_coloured_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

COLOURS = {"green": (0, 255, 0), "red": (255, 0, 0)}

CARD = SourceCard(
    name="bus_uclm",
    title="BUS-UCLM",
    licence="CC-BY-4.0",
    terms="One text found says CC BY-NC 4.0: look at the record before use.",
    citation="Vallez et al., BUS-UCLM: breast ultrasound lesion segmentation, Sci Data 2025",
    home_page="https://data.mendeley.com/datasets/7fvgj4jsp7/1",
    layout="BUS-UCLM.zip, or BUS-UCLM/ with images/ and masks/",
    categories={"green": "breast_nodule_benign", "red": "breast_nodule_malignant"},
    subject_rule="the four letters before the underscore",
    quirks=(
        "Normal images have black masks and are negatives: 419 of 683.",
        "A pixel is of the nearest colour within 60 levels; others are background, and counted.",
    ),
    exclusions=(
        "partitions/: copies of the images, in some downloads.",
        "INFO.csv, which marks Doppler and combined frames, is not read.",
    ),
    unverified=("the folders images/ and masks/", "that the letters of a name are the patient"),
)


def find_bus_uclm(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `images/ANFO_005.png` with `masks/ANFO_005.png`."""
    pairs = pair_files(
        tree.select({".png"}, within="images", outside="partitions"),
        masks=tree.select({".png"}, within="masks", outside="partitions"),
        image_key=lambda file: key_without(file, "images"),
        mask_key=lambda file: key_without(file, "masks"),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        (mask,) = pair.masks
        subject, underscore, _ = pair.image.stem.partition("_")
        yield FoundImage(
            name=pair.image.stem,
            files=(pair.image, mask),
            read=partial(read_coloured_image, pair.image, mask=mask, colours=COLOURS),
            subject=subject if underscore else None,
        )


BUS_UCLM = PublishedSource(card=CARD, find=find_bus_uclm)
