"""CAMUS: two views of each heart as half a cycle of frames, every one annotated."""

import re
from collections.abc import Iterable

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, one_by_name, pair_files, read_lines, with_one_mask

from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .volume_series import found_frames

CARD = SourceCard(
    name="camus",
    title="CAMUS",
    licence="CC-BY-NC-SA-4.0",
    terms="Not for commercial use; the licence was not read on the record itself.",
    citation="Leclerc et al., Deep learning for segmentation using CAMUS, IEEE TMI 2019",
    home_page="https://humanheart-project.creatis.insa-lyon.fr",
    layout="CAMUS_public.zip, or patientNNNN/ with patientNNNN_{2CH,4CH}_half_sequence(_gt).nii.gz",
    categories={1: "left_ventricle_endocardium", 2: "myocardium", 3: "left_atrium"},
    subject_rule="the patient of the name",
    sequence_rule="patient and view, frames in their order",
    spacing_rule="of the NIfTI header",
    official_split="subgroup_{training,validation,testing}.txt, where they lie in the tree",
    quirks=("Masks are taken as they are, also over black pixels of the image.",),
    exclusions=("The files of end diastole and end systole: frames of the same series.",),
    unverified=(
        "the names and the form of the lists of subgroups",
        "that class 2 is the myocardium and class 3 the left atrium",
    ),
)

_NAME = re.compile(r"(?P<series>(?P<patient>patient\d+)_(2CH|4CH))_half_sequence(?P<mask>_gt)?")
_LISTS = {
    "subgroup_training": "train",
    "subgroup_validation": "validation",
    "subgroup_testing": "test",
}


def find_camus(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair each half sequence with its `_gt`."""
    lists = [file for file in tree.select({".txt"}) if file.stem in _LISTS]
    splits = one_by_name(
        ((patient, _LISTS[file.stem], str(file)) for file in lists for patient in read_lines(file)),
        what="rows",
        report=report,
    )
    series = [file for file in tree.select({".nii.gz", ".nii"}) if _NAME.fullmatch(file.stem)]
    pairs = pair_files(
        [file for file in series if not _is_mask(file)],
        masks=[file for file in series if _is_mask(file)],
        image_key=_series_of,
        mask_key=_series_of,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        patient = pair.key.partition("_")[0]
        if splits and patient not in splits:
            report.note("patients that no list of subgroups names; their split is drawn")
        yield from found_frames(
            pair,
            classes=CARD.classes,
            subject=patient,
            report=report,
            split=splits.get(patient),
        )


def _is_mask(file: RawFile) -> bool:
    return file.stem.endswith("_gt")


def _series_of(file: RawFile) -> str | None:
    matched = _NAME.fullmatch(file.stem)
    return matched["series"] if matched else None


CAMUS = PublishedSource(card=CARD, find=find_camus)
