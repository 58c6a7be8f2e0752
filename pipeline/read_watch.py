"""What it took to read the samples, over all ranks, and the bound on broken ones."""

import logging
from collections import Counter
from collections.abc import Sequence

from shards import Corpus, ReadReport

from .config import DataConfig
from .process_group import ProcessGroup

_logger = logging.getLogger(__name__)


class BrokenSamplesError(RuntimeError):
    """More samples are broken than `data.max_broken_samples` allows."""


class ReadWatch:
    """Adds up what the ranks report, and remembers which samples were broken."""

    def __init__(
        self, config: DataConfig, *, group: ProcessGroup, corpora: Sequence[Corpus] = ()
    ) -> None:
        """Begin with nothing broken; a run that goes on begins anew.

        Args:
            config: Bounds the broken samples.
            group: The ranks of the run.
            corpora: That this process itself opened, compares and scores; the loader has its own.
        """
        self._config = config
        self._group = group
        self._corpora = corpora
        self._told_retries = 0
        self._broken: set[str] = set()

    def agree(self, report: ReadReport) -> dict[str, float]:
        """Return the values for a row of the log, alike on all ranks (collective).

        Args:
            report: What this rank's loader says since the last call.

        Raises:
            BrokenSamplesError: On every rank.
        """
        own = ReadReport(counts=Counter(retries=self._new_retries()))
        total = sum(self._group.gather(report + own), ReadReport())
        for one in sorted(set(total.broken) - self._broken):
            self._broken.add(one)
            _logger.warning("Broken, so the next sample of the shard stands in: %s", one)
            if len(self._broken) > self._config.max_broken_samples:
                raise BrokenSamplesError(
                    f"data.max_broken_samples={self._config.max_broken_samples}, but "
                    f"{len(self._broken)} were met since the start. The last: {one} Run "
                    "launchers/validate_shards.py to find all, and mend the corpus."
                )
        names = ["retries"]
        if self._config.cache is not None:
            names += ["cache_hits", "cache_misses", "cached_shards", "cache_failures"]
        values = {f"data/{name}": float(total.counts[name]) for name in names}
        return {**values, "data/broken_samples": float(len(self._broken))}

    def _new_retries(self) -> int:
        """Return how many requests this process made again outside the loader since last asked."""
        retries = sum(corpus.counts["retries"] for corpus in self._corpora)
        new, self._told_retries = retries - self._told_retries, retries
        return new
