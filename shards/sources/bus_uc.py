"""BUS_UC: breast lesions in two class folders that share their numbers."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import FilePair, RawTree, key_without, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="bus_uc",
    title="BUS_UC",
    licence="CC-BY-4.0",
    terms=(
        "The licence was not read on the record itself; the images come from "
        "ultrasoundcases.info, so it is doubtful."
    ),
    citation="Iqbal, BUS_UC: breast ultrasound, Mendeley Data 3ksd7w7jkx, version 1",
    home_page="https://data.mendeley.com/datasets/3ksd7w7jkx/1",
    layout="BUS_UC.zip, or BUS_UC/ with Benign/ and Malignant/, each with images/ and masks/",
    categories={"Benign": "breast_nodule_benign", "Malignant": "breast_nodule_malignant"},
    subject_rule="none in the names, each image stands alone",
    quirks=(
        "Numbers are keyed with their class folder, since both classes may use the same.",
        "A mask of another size is brought to its image's, nearest neighbour.",
    ),
    exclusions=("All/: copies of the images of the two class folders.",),
    unverified=("the folders images/ and masks/", "that numbers repeat over the classes"),
)


def find_bus_uc(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `Benign/images/001.png` with `Benign/masks/001.png`, and so for Malignant."""
    for pathology in CARD.categories:
        pairs = pair_files(
            tree.select({".png"}, within=str(pathology), outside="masks"),
            masks=[
                file for file in tree.select({".png"}, within="masks") if pathology in file.folders
            ],
            image_key=lambda file: key_without(file, "images"),
            mask_key=lambda file: key_without(file, "masks"),
            report=report,
        )
        yield from (
            _found(pair, pathology=str(pathology)) for pair in with_one_mask(pairs, report=report)
        )


def _found(pair: FilePair, *, pathology: str) -> FoundImage:
    masks = tuple(
        MaskFile(category=pathology, file=file, may_have_other_size=True) for file in pair.masks
    )
    return FoundImage(
        name=f"{pathology}-{pair.image.stem}",
        files=(pair.image, *pair.masks),
        read=partial(read_masked_image, pair.image, masks=masks),
    )


BUS_UC = PublishedSource(card=CARD, find=find_bus_uc)
