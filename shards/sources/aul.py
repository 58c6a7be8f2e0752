"""AUL: liver ultrasound with polygons of liver and mass, one JSON file each.

A copy with one coloured mask an image is about as well, in which only the masses are drawn.
"""

import dataclasses
from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import (
    PICTURE_SUFFIXES,
    RawFile,
    RawTree,
    fill_polygon,
    key_without,
    pair_files,
    plain_polygon,
    with_one_mask,
)

from .annotated_image import AnnotatedImage, open_image, read_coloured_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

PATHOLOGIES = ("Benign", "Malignant", "Normal")
EXCLUDED = frozenset({"Malignant-229", "Malignant-306", "Malignant-374"})
COLOURS = {"green": (0, 255, 0), "red": (255, 0, 0)}

CARD = SourceCard(
    name="aul",
    title="AUL (annotated ultrasound liver images)",
    licence="CC-BY-4.0",
    terms="The licence was not read on the record itself.",
    citation="Xu et al., Annotated ultrasound liver images, Zenodo record 7272660",
    home_page="https://doi.org/10.5281/zenodo.7272660",
    layout="AUL.zip, or Benign/, Malignant/ and Normal/, each with image/ and segmentation/",
    categories={
        "liver": "liver",
        "mass of Benign": "liver_lesion_benign",
        "mass of Malignant": "liver_lesion_malignant",
    },
    subject_rule="none in the names, each image stands alone",
    quirks=(
        "Each JSON file is one bare list of points. Mass and liver overlap; both are kept whole.",
        "Numbers begin anew in each of the three folders.",
    ),
    exclusions=(
        "segmentation/outline/: the border of the scanned sector, not anatomy.",
        "Malignant 229, 306 and 374: their liver is filed as outline, or missing.",
    ),
    unverified=("that Normal has no masses", "which three images lack their liver"),
)

LESIONS_CARD = dataclasses.replace(
    CARD,
    name="aul_lesions",
    title="AUL, the copy with coloured masks of the masses alone",
    layout="images/NUMBER.png and masks/NUMBER.png, with benign masses green and malignant red",
    categories={"green": "liver_lesion_benign", "red": "liver_lesion_malignant"},
    quirks=("The same images as those of `aul`: build one of the two, not both.",),
    exclusions=(),
    unverified=(),
)


def find_aul(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `Benign/image/194.jpg` with `Benign/segmentation/{liver,mass}/194.json`."""
    polygons = tree.select({".json"}, within="segmentation")
    pairs = pair_files(
        tree.select({".jpg"}, within="image"),
        masks=[file for file in polygons if file.folder in ("liver", "mass")],
        image_key=lambda file: key_without(file, "image"),
        mask_key=lambda file: key_without(file, "segmentation", "liver", "mass"),
        report=report,
    )
    for pair in pairs:
        pathology = next((name for name in PATHOLOGIES if name in pair.image.folders), "")
        name = f"{pathology}-{pair.image.stem}"
        if name in EXCLUDED:
            report.note("images whose liver is filed wrongly, left out")
            continue
        yield FoundImage(
            name=name,
            files=(pair.image, *pair.masks),
            read=partial(_read, pair.image, polygons=pair.masks, pathology=pathology),
        )


def _read(image: RawFile, *, polygons: tuple[RawFile, ...], pathology: str) -> AnnotatedImage:
    picture = open_image(image)
    size = (picture.pixels.shape[0], picture.pixels.shape[1])
    masks = [
        (
            "liver" if file.folder == "liver" else f"mass of {pathology}",
            fill_polygon(plain_polygon(file), size=size, where=str(file)),
        )
        for file in polygons
    ]
    return AnnotatedImage(image=picture, masks=tuple(masks))


def find_aul_lesions(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `images/10009.png` with `masks/10009.png`."""
    pairs = pair_files(
        tree.select(PICTURE_SUFFIXES, within="images"),
        masks=tree.select({".png"}, within="masks"),
        image_key=lambda file: key_without(file, "images"),
        mask_key=lambda file: key_without(file, "masks"),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        (mask,) = pair.masks
        yield FoundImage(
            name=pair.image.stem,
            files=(pair.image, mask),
            read=partial(read_coloured_image, pair.image, mask=mask, colours=COLOURS),
        )


AUL = PublishedSource(card=CARD, find=find_aul)
AUL_LESIONS = PublishedSource(card=LESIONS_CARD, find=find_aul_lesions)
