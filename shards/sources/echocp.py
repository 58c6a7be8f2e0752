"""EchoCP: contrast echocardiograms at rest and under strain, with the heart's chambers."""

from collections.abc import Iterable

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .cardiacudc import turn_around
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .volume_series import found_frames

CARD = SourceCard(
    name="echocp",
    title="EchoCP (echoCP2)",
    licence="unknown",
    terms="Not found; look at the page on Kaggle before use.",
    citation="Wang et al., EchoCP: contrast transthoracic echocardiography, MICCAI 2021",
    home_page="https://www.kaggle.com/datasets/xiaoweixumedicalai/echocp",
    layout="EchoCP_dataset/ with NNN_r_image.nii.gz, NNN_r_label.nii.gz, and _v_ for Valsalva",
    categories=dict.fromkeys((1, 2, 3, 4), "heart_chamber"),
    subject_rule="the number before the first underscore: rest and Valsalva stay together",
    sequence_rule="the volume, frames along its first axis",
    spacing_rule="of the NIfTI header",
    quirks=(
        "Each value of a mask is an object of its own, so that touching chambers do not fuse. All "
        "have one category, and the value itself is not stored.",
        "Images and masks are turned by 180 degrees.",
        "Which frames are annotated is told by the masks alone, so these are read while planning.",
    ),
    exclusions=("Frames without annotation: chambers are in sight there all the same.",),
    unverified=("the names of the files", "which value is which chamber"),
)


def find_echocp(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `001_r_image.nii.gz` with `001_r_label.nii.gz`."""
    volumes = tree.select({".nii.gz", ".nii"})
    pairs = pair_files(
        [file for file in volumes if file.stem.endswith("_image")],
        masks=[file for file in volumes if file.stem.endswith("_label")],
        image_key=_series_of,
        mask_key=_series_of,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        yield from found_frames(
            pair,
            classes=CARD.classes,
            subject=pair.key.partition("_")[0],
            report=report,
            prepare=turn_around,
            min_annotated_share=0.0,
        )


def _series_of(file: RawFile) -> str:
    return file.stem.rpartition("_")[0]


ECHOCP = PublishedSource(card=CARD, find=find_echocp)
