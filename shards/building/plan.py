"""What a build will write, decided before the first pixel is read.

Shards are cut by the count of planned samples, so that every worker, every machine and every later
call agrees on what each of them holds, whatever becomes of the others.
"""

import dataclasses
import difflib
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.manifest import FORMAT_VERSION, SourceDescription
from shards.patient_split import (
    SPLITS,
    check_held_out,
    check_leaks,
    leave_out_excluded,
    split_of_sample,
)
from shards.shard_writer import shard_stem
from shards.sources import SOURCES, PlannedSample, SourcePlan

RULES_OF_THE_WHOLE = ("leaks", "max_skipped_samples")
"""Options that decide whether a build is refused, and change nothing in a shard."""


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """Neighbours of one source that become one shard, or several where they are large."""

    split: str
    stem: str
    """Name of the shard without its extension."""

    description: SourceDescription
    samples: tuple[PlannedSample, ...]
    fingerprint: str
    """Of options, source and input files: two shards with the same one have the same bytes."""

    @property
    def name(self) -> str:
        """Split and stem, which tell it from all others of the build."""
        return f"{self.split}/{self.stem}"


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """Everything that is known before the first pixel is read."""

    descriptions: tuple[SourceDescription, ...]
    num_samples: dict[str, int]
    """Of every split that is asked for or has some."""

    shards: tuple[PlannedShard, ...]
    """In the order of their corpora; split by split."""

    grouping_rule: str
    num_leaked_subjects: int
    fingerprint: str
    """Of options, sources and input files: two builds with the same one give the same bytes."""


def plan_build(config: BuildConfig, report: BuildReport) -> BuildPlan:
    """Ask the source for its samples, put each into a split, and cut the splits into shards."""
    source_plan = _source_plan(config, report)
    samples: dict[str, list[PlannedSample]] = {split: [] for split in SPLITS}
    asked_for = {"train", *(source_plan.listed_splits if config.splits == "official" else ())}
    check_held_out(config.held_out_sources, known=(one.name for one in source_plan.descriptions))
    for planned in source_plan.samples:
        samples[split_of_sample(planned, config=config)].append(planned)
    if config.excluded is not None:
        num_excluded = leave_out_excluded(samples, excluded=config.excluded)
        report.note("images left out by the list of an audit", count=num_excluded)
    for planned_of_split in samples.values():
        _check_keys(planned_of_split, report=report)
    num_leaked = check_leaks(samples, config=config, report=report)
    shards = tuple(_cut_shards(config, source_plan=source_plan, samples=samples))
    return BuildPlan(
        descriptions=source_plan.descriptions,
        num_samples={
            split: len(some) for split, some in samples.items() if some or split in asked_for
        },
        shards=shards,
        grouping_rule=f"{source_plan.grouping_rule}; split: {_split_rule(config)}",
        num_leaked_subjects=num_leaked,
        fingerprint=_fingerprint_build(config, source_plan, shards),
    )


def _source_plan(config: BuildConfig, report: BuildReport) -> SourcePlan:
    if config.source not in SOURCES:
        close = difflib.get_close_matches(config.source, SOURCES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"source={config.source}: there is no such source.{hint} "
            f"Sources: {', '.join(sorted(SOURCES))}."
        )
    return SOURCES[config.source](config, report)


def _split_rule(config: BuildConfig) -> str:
    drawn = f"drawn by a hash of the subject with seed {config.split_seed}"
    return {
        "official": f"the source's own lists; where it has none, {drawn}",
        "official_test": f"the source's own test list; the rest {drawn}",
        "subject": drawn,
    }[config.splits]


def _check_keys(samples: list[PlannedSample], *, report: BuildReport) -> None:
    """Report samples that would get one key, naming both files; only the first stays."""
    first: dict[str, PlannedSample] = {}
    for planned in list(samples):
        known = first.setdefault(planned.key, planned)
        if known is not planned:
            samples.remove(planned)
            report.add(
                InputError(
                    "two files with one key",
                    f"{known.where} and {planned.where}: both would be {planned.key}. "
                    "Rename one of them, and its mask, in folder and lists.",
                )
            )


def _cut_shards(
    config: BuildConfig, *, source_plan: SourcePlan, samples: Mapping[str, list[PlannedSample]]
) -> Iterator[PlannedShard]:
    descriptions = {one.name: one for one in source_plan.descriptions}
    for split, of_split in samples.items():
        numbers: Counter[str] = Counter()
        for source, of_source in itertools.groupby(of_split, key=lambda one: one.source):
            while some := tuple(itertools.islice(of_source, config.max_samples_per_shard)):
                yield PlannedShard(
                    split=split,
                    stem=shard_stem(source, number=numbers[source]),
                    description=descriptions[source],
                    samples=some,
                    fingerprint=_fingerprint_shard(some, config, descriptions[source]),
                )
                numbers[source] += 1


def _fingerprint_shard(
    samples: Sequence[PlannedSample], config: BuildConfig, description: SourceDescription, /
) -> str:
    options = config.content_options()
    for name in RULES_OF_THE_WHOLE:
        del options[name]
    inputs = [
        [one.key, one.subject, one.subject_is_known, one.sequence, one.split, one.fingerprint]
        for one in samples
    ]
    return _digest([FORMAT_VERSION, options, dataclasses.asdict(description), inputs])


def _fingerprint_build(
    config: BuildConfig, source_plan: SourcePlan, shards: Sequence[PlannedShard], /
) -> str:
    descriptions = [dataclasses.asdict(one) for one in source_plan.descriptions]
    inputs = [[shard.name, shard.fingerprint] for shard in shards]
    rule = source_plan.grouping_rule
    return _digest([FORMAT_VERSION, config.content_options(), rule, descriptions, inputs])


def _digest(fields: list[Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
