"""BrEaST (Breast-Lesions-USG): one flat folder, several masks per case."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import FilePair, RawTree, pair_files

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="breast_lesions_usg",
    title="BrEaST (Breast-Lesions-USG)",
    version="2023-12-15",
    licence="CC-BY-4.0",
    terms="The licence was not read on the record itself.",
    citation="Pawlowska et al., Curated benchmark dataset for breast ultrasound, Sci Data 2024",
    home_page="https://doi.org/10.1038/s41597-024-02984-z",
    layout="BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip, or its flat folder of PNG files",
    categories={"tumor": "breast_nodule", "other": "breast_other_finding"},
    subject_rule="the case: one image per patient",
    quirks=(
        "caseNNN_tumor.png is the lesion; every other mask (_other1, ...) another finding, of "
        "which the name says no more. Every pixel of a mask that is not 0 counts.",
        "Images without a mask are the normal cases: they are negatives.",
        "Benign and malignant are told in a spreadsheet beside the archive, which is not read.",
    ),
    unverified=("the names of the masks", "that a case is a patient"),
)


def find_breast_lesions_usg(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `caseNNN.png` with every `caseNNN_WORD.png`."""
    files = tree.select({".png"})
    pairs = pair_files(
        [file for file in files if "_" not in file.stem],
        masks=[file for file in files if "_" in file.stem],
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem.partition("_")[0],
        report=report,
        without_mask="keep",
    )
    return [_found(pair) for pair in pairs]


def _found(pair: FilePair) -> FoundImage:
    masks = tuple(
        MaskFile(
            category="tumor" if file.stem.endswith("_tumor") else "other", file=file, at_least=1
        )
        for file in pair.masks
    )
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(read_masked_image, pair.image, masks=masks),
        subject=pair.key,
    )


BREAST_LESIONS_USG = PublishedSource(card=CARD, find=find_breast_lesions_usg)
