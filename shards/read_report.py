"""What it took to read some samples, as it travels from a worker to the training process."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ReadReport:
    """Counts, and what was found broken."""

    counts: Counter[str] = field(default_factory=Counter)
    """`retries`: requests made again. With a cache also `cache_hits` and `cache_misses`: samples
    that were in it or not; `cached_shards`: taken in; `cache_failures`: that it could not keep."""

    broken: tuple[str, ...] = ()
    """Samples that the next one of their shard stands in for, each with its shard and the reason;
    one that was met twice is here twice."""

    def __add__(self, other: "ReadReport") -> "ReadReport":
        return ReadReport(counts=self.counts + other.counts, broken=self.broken + other.broken)
