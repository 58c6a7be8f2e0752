"""Splits by subject, for sources that publish none: images of one subject never part."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from .build_report import BuildReport, InputError
from .config import BuildConfig
from .sources import PlannedSample

SPLITS = ("train", "validation", "test")
"""From training outwards: what two of them share must leave the earlier one."""


def split_of_subject(
    source: str, *, subject: str, seed: int, validation_fraction: float, test_fraction: float
) -> str:
    """Return the split of a subject: a place in [0, 1) from a hash decides, nothing else.

    A subject keeps its split when others are added to the source, so that a test set stays one.
    """
    digest = hashlib.sha256(f"{seed}/{source}/{subject}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_fraction:
        return "test"
    if place < test_fraction + validation_fraction:
        return "validation"
    return "train"


def list_name(split: str) -> str:
    """Return the name of the file that lists the keys of a split, beside `corpus.json`."""
    return f"{split}.txt"


def group_of(planned: PlannedSample) -> str:
    """Return what never parts: the subject; where it is unknown the sequence, else the image."""
    if planned.subject_is_known:
        return planned.subject
    return planned.key if planned.sequence is None else f"sequence {planned.sequence}"


def split_of_sample(planned: PlannedSample, *, config: BuildConfig) -> str:
    """Return the split of a sample as `config` says; a source that is held out is for the test."""
    if planned.source in config.held_out_sources:
        return "test"
    if config.splits == "official" and planned.split is not None:
        return planned.split
    is_official_test = config.splits == "official_test" and planned.split is not None
    if is_official_test and planned.split == "test":
        return "test"
    return split_of_subject(
        planned.source,
        subject=group_of(planned),
        seed=config.split_seed,
        validation_fraction=config.validation_fraction,
        test_fraction=0.0 if is_official_test else config.test_fraction,
    )


def check_held_out(held_out_sources: Iterable[str], *, known: Iterable[str]) -> None:
    """Refuse a source that is not there: mistyped, it would be trained on.

    Raises:
        ValueError: It names the source and those that there are.
    """
    names = sorted(known)
    for source in held_out_sources:
        if source not in names:
            raise ValueError(
                f"held_out_sources: {source} is none of the sources: {', '.join(names)}. "
                "Change it, or take it out."
            )


def leave_out_excluded(samples: dict[str, list[PlannedSample]], *, excluded: str) -> int:
    """Take out the samples (split -> its samples) that a list of lines `SPLIT KEY` names.

    Returns:
        How many were taken out; lines of other builds name none.

    Raises:
        ValueError: A line has another form.
        OSError: The list cannot be read.
    """
    listed: dict[str, set[str]] = {split: set() for split in SPLITS}
    for number, line in enumerate(Path(excluded).read_text("ascii").splitlines(), start=1):
        split, _, key = line.partition(" ")
        if split not in listed or not key:
            raise ValueError(
                f"excluded={excluded}: line {number} is {line!r}; expected SPLIT KEY, as "
                "launchers/audit_corpora.py writes it. Mend the line."
            )
        listed[split].add(key)
    num_before = sum(map(len, samples.values()))
    for split, planned_of_split in samples.items():
        planned_of_split[:] = [one for one in planned_of_split if one.key not in listed[split]]
    return num_before - sum(map(len, samples.values()))


def check_leaks(
    samples: dict[str, list[PlannedSample]], *, config: BuildConfig, report: BuildReport
) -> int:
    """Count groups that lie in several splits; refuse or note them as `leaks` says."""
    splits_of: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for split, planned_of_split in samples.items():
        for planned in planned_of_split:
            # Without subject and sequence an image is its own; in two splits it still is a leak.
            splits_of[planned.source, group_of(planned)].setdefault(split, planned.where)
    leaked = {name: splits for name, splits in splits_of.items() if len(splits) > 1}
    for (source, subject), splits in leaked.items():
        if config.leaks == "report":
            report.note("subjects in more than one split")
            continue
        files = ", ".join(f"{where} in {split}" for split, where in splits.items())
        report.add(
            InputError(
                "subject in more than one split",
                f"{source}, subject {subject}: {files}. Mend the lists, draw the splits anew with "
                "splits=subject, or keep it with leaks=report.",
            ),
            is_obstacle=True,
        )
    return len(leaked)
