"""BUS-BRA: breast lesions of 1,064 patients, with folds that keep patients together."""

from collections.abc import Iterable, Iterator
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, RawTree, one_by_name, pair_files, read_csv, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

FOLDS = "5-fold-cv.csv"
TEST_FOLD = 1
_SPLITS = {str(fold): "test" if fold == TEST_FOLD else "train" for fold in range(1, 6)}

_Row = tuple[str, str | None]
"""Class, and split; None where the table has another word than a fold."""

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
    rows = one_by_name(_rows(tree, report=report), what="rows", report=report)
    pairs = pair_files(
        tree.select({".png"}, within="Images"),
        masks=tree.select({".png"}, within="Masks"),
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem.replace("mask_", "bus_", 1),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        if pair.key not in rows:
            message = f"{pair.image}: has no row in {FOLDS}. Add it, or remove the image."
            report.add(InputError("image that no table names", message))
            continue
        pathology, split = rows[pair.key]
        if split is not None:
            yield _found(pair, pathology=pathology, split=split)


def _rows(tree: RawTree, *, report: BuildReport) -> Iterator[tuple[str, _Row, str]]:
    """Yield ID, class and split, and the place of every row; a fold that is none is reported."""
    for file in tree.files:
        columns = ("ID", "Pathology", "kFold")
        for row in read_csv(file, columns=columns) if file.name == FOLDS else ():
            name, pathology, fold = (row[column] for column in columns)
            if fold not in _SPLITS:
                message = f"{file}: {name} has the kFold {fold!r}; expected 1 to 5. Mend the row."
                report.add(InputError("line that cannot be used", message))
            value = (pathology.lower(), _SPLITS.get(fold))
            yield name, value, f"{file} ({pathology}, kFold {fold})"


def _found(pair: FilePair, *, pathology: str, split: str) -> FoundImage:
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(
            read_masked_image,
            pair.image,
            masks=tuple(MaskFile(category=pathology, file=file) for file in pair.masks),
        ),
        subject=pair.key.rpartition("_")[2].partition("-")[0],
        split=split,
        facts=(pathology,),
    )


BUS_BRA = PublishedSource(card=CARD, find=find_bus_bra)
