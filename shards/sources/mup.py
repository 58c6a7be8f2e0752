"""Micro-ultrasound of the prostate: the record that US-43d has twice, as MUP and as MicroSeg."""

import re
from collections.abc import Iterable

import numpy as np

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .volume_series import found_frames

CARD = SourceCard(
    name="mup",
    title="MUP and MicroSeg (micro-ultrasound prostate segmentation)",
    licence="unknown",
    terms="Look them up at the Zenodo record.",
    citation="Jiang et al., MicroSegNet: prostate segmentation on micro-ultrasound, 2024",
    home_page="https://doi.org/10.5281/zenodo.10475293",
    layout="MUP.zip or MicroSeg.zip (one of them), or the unpacked folders train/ and test/",
    categories={1: "prostate"},
    subject_rule="train or test, and the number of the scan",
    sequence_rule="the scan; slices along its last stored axis are the frames",
    spacing_rule="of the NIfTI header",
    official_split="train and test in the names",
    quirks=(
        "US-43d counts this record twice; it is one source here.",
        "Rows are reversed, so that the probe is on top, as in both published converters; they "
        "differ in left and right, which stay as stored.",
        "Masks are kept where the image is black; slices without prostate are negatives.",
    ),
    exclusions=("Masks of non-experts, clinicians and students: the experts' are the reference.",),
    unverified=("left and right",),
)

_IMAGE = re.compile(r"microUS_(train|test)_(\d+)")
_MASK = re.compile(r"expert_annotation_(train|test)_(\d+)")


def find_mup(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `microUS_train_01.nii.gz` with `expert_annotation_train_01.nii.gz`."""
    files = tree.select({".nii", ".nii.gz"})
    pairs = pair_files(
        [file for file in files if _IMAGE.fullmatch(file.stem)],
        masks=[file for file in files if _MASK.fullmatch(file.stem)],
        image_key=_scan_of,
        mask_key=_scan_of,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        yield from found_frames(
            pair,
            classes=CARD.classes,
            subject=pair.key,
            split=pair.key.split("-")[0],
            prepare=np.flipud,
            report=report,
        )


def _scan_of(file: RawFile) -> str:
    _, split, number = file.stem.rsplit("_", maxsplit=2)
    return f"{split}-{number}"


MUP = PublishedSource(card=CARD, find=find_mup)
