"""ACOUSLIC-AI: sweeps over a pregnant abdomen, in which few frames are annotated."""

from collections.abc import Iterable, Iterator

from shards.build_report import BuildReport
from shards.reading import RawTree, one_by_name, pair_files, read_csv, with_one_mask

from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .volume_series import found_frames

CARD = SourceCard(
    name="acouslic",
    title="ACOUSLIC-AI",
    licence="CC-BY-NC-SA-4.0",
    terms="Not for commercial use; the licence was not read on the record itself.",
    citation="Sappia et al., ACOUSLIC-AI challenge, Zenodo record 12697994",
    home_page="https://acouslic-ai.grand-challenge.org",
    layout="NAME.mha sweeps, with masks of the same names in masks/ and the circumferences' CSV",
    categories={1: "fetal_abdomen", 2: "fetal_abdomen"},
    subject_rule="`subject_id` of the CSV; where there is none, a sweep stays together",
    sequence_rule="the sweep (file), frames along its first axis",
    spacing_rule="of the MetaImage header",
    official_split="the public part is a training set; the test is hidden",
    quirks=(
        "Mask values 1 and 2 (optimal and suboptimal plane) are both the abdomen; which of them a "
        "mask had is not stored.",
        "Which frames are annotated is told by the masks alone, so these are read while planning.",
    ),
    exclusions=(
        "Frames without annotation (most of about 840 in a sweep): the abdomen may be in sight "
        "there all the same, so they are no negatives.",
    ),
    unverified=(
        "the folders images/ and masks/ with their subfolders",
        "the columns uuid and subject_id of the CSV",
        "the meaning of the two mask values",
    ),
)


def find_acouslic(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair sweeps by name and yield their annotated frames."""
    subjects = one_by_name(_subjects(tree), what="rows", report=report)
    pairs = pair_files(
        tree.select({".mha"}, outside="masks"),
        masks=tree.select({".mha"}, within="masks"),
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        yield from found_frames(
            pair,
            classes=CARD.classes,
            subject=subjects.get(pair.key),
            report=report,
            min_annotated_share=0.0,
        )


def _subjects(tree: RawTree) -> Iterator[tuple[str, str, str]]:
    """Yield sweep, subject, and the place of every row."""
    for file in tree.select({".csv"}):
        if "circumference" in file.name:
            for row in read_csv(file, columns=("uuid", "subject_id")):
                yield row["uuid"], row["subject_id"], f"{file} (subject {row['subject_id']})"


ACOUSLIC = PublishedSource(card=CARD, find=find_acouslic)
