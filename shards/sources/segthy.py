"""SegThy: freehand volumes of the neck with thyroid and vessels."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .volume_series import found_frames

CARD = SourceCard(
    name="segthy",
    title="SegThy (thyroid, carotid and jugular of volunteers)",
    licence="unknown",
    terms="Look them up on the page of TUM CAMP.",
    citation="Kronke et al., Tracked 3D ultrasound and deep learning-based thyroid volumetry, 2022",
    home_page="https://doi.org/10.1371/journal.pone.0268550",
    layout="a folder with ground_truth_data/US/ and ground_truth_data/US_thyroid_label/",
    categories={
        1: "thyroid_gland",
        2: "carotid_artery",
        3: "jugular_vein",
        4: "carotid_artery",
        5: "jugular_vein",
    },
    subject_rule="the number before the first underscore",
    sequence_rule="the volume; slices along its last stored axis are the frames",
    spacing_rule="of the NIfTI header",
    quirks=(
        "Slices are turned by 180 degrees, as in the published converter.",
        "4 and 5 are the vessels of the other side, as in the labels of the MRI half.",
        "Slices without a label are negatives; the published converter leaves them out.",
    ),
    exclusions=("The MRI half (.nii.gz), and sweeps without a label, which are counted.",),
    unverified=(
        "whether ultrasound labels have 4 and 5, and whether all of them show the vessels: one "
        "reader says thyroid only",
        "which way is up",
    ),
)


def find_segthy(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `US/001_P1_1_left_US.nii` with `US_thyroid_label/001_P1_1_left.nii`."""
    files = tree.select({".nii"})
    pairs = pair_files(
        [file for file in files if not _is_label(file)],
        masks=[file for file in files if _is_label(file)],
        image_key=lambda file: file.stem.removesuffix("_US"),
        mask_key=lambda file: file.stem,
        report=report,
        without_mask="drop",
    )
    for pair in with_one_mask(pairs, report=report):
        yield from found_frames(
            pair,
            classes=CARD.classes,
            subject=pair.key.split("_")[0],
            prepare=partial(np.rot90, k=2),
            report=report,
        )


def _is_label(file: RawFile) -> bool:
    return "label" in file.folder.lower()


SEGTHY = PublishedSource(card=CARD, find=find_segthy)
