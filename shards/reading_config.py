"""How patiently corpora are read, and where whole shards are kept near at hand."""

from dataclasses import dataclass

LONGEST_BATCH_SECONDS = 300.0
"""A loader that gives no batch for so long stops the run: other ranks wait twice as long for it."""

LONGEST_DEADLINE_SECONDS = 240.0
"""So that a read says what is wrong before its batch is late."""


@dataclass(kw_only=True)
class ReadingConfig:
    """Patience with a store, and a cache of shards."""

    cache: str | None = None
    """Folder on a fast disk that keeps whole shards of the corpora; null keeps none. Processes,
    runs and nodes may share one. Samples and their order are the same with and without."""

    cache_gibibytes: float = 100.0
    """Size of the cache at most; what was not used for longest makes room. It must hold the shards
    of two blocks (`data.shards_per_block`)."""

    request_seconds: float = 30.0
    """A request to a store that takes longer is given up and made again."""

    deadline_seconds: float = 120.0
    """A read that a store has failed to answer for so long stops the run; at most 240, so that it
    does before a collective of the other ranks times out."""

    def __post_init__(self) -> None:
        for name in ("cache_gibibytes", "request_seconds", "deadline_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"data.{name} is {getattr(self, name)}: it must be positive.")
        if self.deadline_seconds > LONGEST_DEADLINE_SECONDS:
            raise ValueError(
                f"data.deadline_seconds is {self.deadline_seconds}: it must be at most "
                f"{LONGEST_DEADLINE_SECONDS:.0f}, or other ranks give up first."
            )
        if self.request_seconds > self.deadline_seconds:
            raise ValueError(
                f"data.request_seconds is {self.request_seconds}: it must be at most "
                f"data.deadline_seconds ({self.deadline_seconds})."
            )

    def without_cache(self) -> "ReadingConfig":
        """Return the same patience with no cache: for what nobody reads ahead."""
        return ReadingConfig(
            request_seconds=self.request_seconds, deadline_seconds=self.deadline_seconds
        )
