"""CardiacUDC: echocardiograms of several sites, in which some frames are annotated."""

from collections.abc import Iterable

import numpy as np

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .volume_series import found_frames

MIN_SHARE = 0.025
"""Of a frame that has to be marked; less is stray pixels."""

CARD = SourceCard(
    name="cardiacudc",
    title="CardiacUDC",
    licence="unknown",
    terms="Apache-2.0 by a note that was not confirmed.",
    citation="Yang et al., GraphEcho: graph-driven unsupervised domain adaptation, ICCV 2023",
    home_page="https://www.kaggle.com/datasets/xiaoweixumedicalai/cardiacudc-dataset",
    layout="cardiacUDC.zip, or SITE/NAME_image.nii.gz and SITE/NAME_label.nii.gz",
    categories={
        1: "left_ventricle_endocardium",
        2: "left_atrium",
        3: "right_atrium",
        4: "right_ventricle",
        5: "epicardium",
    },
    subject_rule="site and name without its last number",
    sequence_rule="the volume, frames along its first axis",
    spacing_rule="of the NIfTI header",
    quirks=(
        "Images and masks are turned by 180 degrees.",
        "Which frames are annotated is told by the masks alone, so these are read while planning.",
        "A frame that holds class 6, whose meaning is disputed, is a problem; "
        "max_skipped_samples leaves such frames out.",
    ),
    exclusions=(
        "label_all_frame/: borders instead of areas, in codes that may differ, and perhaps of "
        "patients of the other sites.",
        "Images without a label (all of Site_R_73).",
        "Frames of which at most 2.5 % are marked: stray pixels.",
    ),
    unverified=(
        "the names of the sites",
        "that the last number of a name is the view",
        "that one name in two sites is two persons",
    ),
)


def find_cardiacudc(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `SITE/patient-1-4_image.nii.gz` with `SITE/patient-1-4_label.nii.gz`."""
    volumes = tree.select({".nii.gz", ".nii"}, outside="label_all_frame")
    pairs = pair_files(
        [file for file in volumes if file.stem.endswith("_image")],
        masks=[file for file in volumes if file.stem.endswith("_label")],
        image_key=_site_and_name,
        mask_key=_site_and_name,
        report=report,
        without_mask="drop",
    )
    for pair in with_one_mask(pairs, report=report):
        yield from found_frames(
            pair,
            classes=CARD.classes,
            subject=pair.key.rpartition("-")[0] or pair.key,
            report=report,
            prepare=turn_around,
            min_annotated_share=MIN_SHARE,
        )


def turn_around(frame: np.ndarray) -> np.ndarray:
    """Return a frame turned by 180 degrees."""
    return frame[::-1, ::-1]


def _site_and_name(file: RawFile) -> str:
    return f"{file.folder}/{file.stem.rpartition('_')[0]}"


CARDIACUDC = PublishedSource(card=CARD, find=find_cardiacudc)
