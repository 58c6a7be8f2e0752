"""What a source is to the builder: a plan of samples that can be read one by one."""

from collections.abc import Callable
from dataclasses import dataclass

from shards.build_report import BuildReport
from shards.config import BuildConfig
from shards.manifest import SourceDescription
from shards.sample import UltrasoundSample


@dataclass(frozen=True, kw_only=True)
class PlannedSample:
    """A sample that the source promises; its pixels have not been touched."""

    key: str
    source: str
    subject: str
    subject_is_known: bool
    split: str | None
    """`train`, `validation` or `test` by the source's own lists; None where it has none."""

    where: str
    """The file, for messages."""

    fingerprint: str
    """Changes when the files behind the sample change."""

    read: Callable[[], UltrasoundSample]
    """Reads it; raises `ValueError` (or `InputError`) naming file and remedy. A partial of a
    module's function, so that it can be sent to another process."""

    sequence: str | None = None
    """Video or volume; where the subject is unknown, its frames stay together in one split."""


@dataclass(frozen=True, kw_only=True)
class SourcePlan:
    """All that a source has to give, samples of one dataset next to each other."""

    descriptions: tuple[SourceDescription, ...]
    samples: tuple[PlannedSample, ...]
    grouping_rule: str
    """How subjects are told from each other, in words, for `corpus.json`."""

    listed_splits: frozenset[str] = frozenset()
    """Splits for which the source has lists of its own: each must get a sample."""


SourceFactory = Callable[[BuildConfig, BuildReport], SourcePlan]
"""A source: from its options to its plan. Problems go into the report, all of them."""
