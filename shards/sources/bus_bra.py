"""BUS-BRA: breast lesions of 1,064 patients, with folds that keep patients together."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, RawTree, pair_files, read_csv, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

FOLDS = "5-fold-cv.csv"
TEST_FOLD = 1

CARD = SourceCard(
    name="bus_bra",
    title="BUS-BRA",
    licence="CC-BY-4.0",
    terms="The licence was not read on the record itself.",
    citation="Gomez-Flores et al., BUS-BRA: a breast ultrasound dataset, Med Phys 2024",
    home_page="https://github.com/wgomezf/BUS-BRA",
    layout="BUSBRA.zip, or BUSBRA/ with Images/, Masks/ and 5-fold-cv.csv",
    categories={"benign": "breast_nodule_benign", "malignant": "breast_nodule_malignant"},
    subject_rule="the number of the case in the name, before the side",
    official_split=f"fold {TEST_FOLD} of {FOLDS} is the test, the others train",
    quirks=("Benign or malignant is a column of the table, and is painted on the whole mask.",),
    unverified=("that the number in a name is the patient",),
)


def find_bus_bra(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `bus_0001-l.png` with `mask_0001-l.png`; class and fold stand in the table."""
    rows = {
        row["ID"]: row
        for file in tree.files
        if file.name == FOLDS
        for row in read_csv(file, columns=("ID", "Pathology", "kFold"))
    }
    pairs = pair_files(
        tree.select({".png"}, within="Images"),
        masks=tree.select({".png"}, within="Masks"),
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem.replace("mask_", "bus_", 1),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        if pair.key in rows:
            yield _found(pair, row=rows[pair.key])
        else:
            message = f"{pair.image}: has no row in {FOLDS}. Add it, or remove the image."
            report.add(InputError("image that no table names", message))


def _found(pair: FilePair, *, row: dict[str, str]) -> FoundImage:
    pathology = row["Pathology"].lower()
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(
            read_masked_image,
            pair.image,
            masks=tuple(MaskFile(category=pathology, file=file) for file in pair.masks),
        ),
        subject=pair.key.rpartition("_")[2].partition("-")[0],
        split="test" if int(row["kFold"]) == TEST_FOLD else "train",
    )


BUS_BRA = PublishedSource(card=CARD, find=find_bus_bra)
