"""Reads a whole tiny tree, problems included."""

import dataclasses
import pickle
from pathlib import Path

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.sample import UltrasoundSample
from shards.sources import SOURCES, PublishedSource, SourceFactory


@dataclasses.dataclass
class Read:
    """What became of a tree."""

    samples: dict[str, UltrasoundSample]
    problems: str
    """Of planning, and of reading every sample."""

    report: BuildReport


def read_all(source: PublishedSource, root: Path) -> Read:
    return _read(source, BuildConfig(source=source.card.name, root=str(root), output="unused"))


def read_config(config: BuildConfig) -> Read:
    return _read(SOURCES[config.source], config)


def _read(source: SourceFactory, config: BuildConfig) -> Read:
    report = BuildReport()
    samples = {}
    # What a build sends to its workers is read here as it arrives there.
    for planned in pickle.loads(pickle.dumps(source(config, report).samples)):
        try:
            samples[planned.key.partition("__")[2]] = sample = planned.read()
            for note in sample.notes:
                report.note(note)
        except ValueError as error:
            report.add(InputError(getattr(error, "kind", "unreadable"), str(error)))
    return Read(samples, report.describe_problems(), report)


def area(sample: UltrasoundSample) -> int:
    return sum(thing.rle.area_pixels() for thing in sample.objects)
