"""DDTI as the TN3K bundle carries it: thyroid nodules, cut out and numbered anew."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawTree, key_without, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="ddti",
    title="DDTI",
    licence="unknown",
    terms="None found, neither of the original nor of the bundle.",
    citation="Pedraza et al., An open access thyroid ultrasound image database, SIPAIM 2015",
    home_page="https://doi.org/10.1117/12.2073532",
    layout="TN3K.zip, DDTI.zip, or 2_preprocessed_data/stage1/ with p_image/ and p_mask/",
    categories={"nodule": "thyroid_nodule"},
    subject_rule="none in the names, each image stands alone",
    quirks=("One mask may hold several nodules; they are one object.",),
    exclusions=("stage2/ and the original case files.",),
    unverified=(
        "the style of the numbers",
        "that the numbers are not patients",
        "that stage2/ and the original case files are the same images again",
    ),
)


def find_ddti(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `stage1/p_image/497.PNG` with `stage1/p_mask/497.PNG`."""
    files = [file for file in tree.select({".png"}) if "stage1" in file.folders]
    pairs = pair_files(
        [file for file in files if file.folder == "p_image"],
        masks=[file for file in files if file.folder == "p_mask"],
        image_key=lambda file: key_without(file, "p_image"),
        mask_key=lambda file: key_without(file, "p_mask"),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        masks = tuple(MaskFile(category="nodule", file=file) for file in pair.masks)
        yield FoundImage(
            name=pair.image.stem,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


DDTI = PublishedSource(card=CARD, find=find_ddti)
