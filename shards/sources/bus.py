"""BUS (UDIAT, Dataset B): breast lesions, images and masks of one name in two folders."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawTree, key_without, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="bus",
    title="BUS (UDIAT, Dataset B)",
    licence="LicenseRef-on-request",
    terms="By agreement with the authors; not to be passed on.",
    citation="Yap et al., Automated breast ultrasound lesions detection, IEEE JBHI 2018",
    home_page="https://doi.org/10.1109/JBHI.2017.2731873",
    layout="BUS.zip, or BUS/ with original/ and GT/",
    categories={"lesion": "breast_nodule"},
    subject_rule="none in the names, each image stands alone",
    quirks=("Masks are not cleanly of two values: grey values from 150 count.",),
    exclusions=("The lists of benign and malignant cases are not used.",),
    unverified=("the style of the numbers in the names",),
)


def find_bus(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `original/000001.png` with `GT/000001.png`."""
    pairs = pair_files(
        tree.select({".png"}, within="original"),
        masks=tree.select({".png"}, within="GT"),
        image_key=lambda file: key_without(file, "original"),
        mask_key=lambda file: key_without(file, "GT"),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        masks = tuple(MaskFile(category="lesion", file=file, at_least=150) for file in pair.masks)
        yield FoundImage(
            name=pair.image.stem,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


BUS = PublishedSource(card=CARD, find=find_bus)
