"""The processes that share an evaluation, and what they have to agree on."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

Result = TypeVar("Result")


@runtime_checkable
class Ranks(Protocol):
    """What an evaluation needs of a group of processes; the pipeline's `ProcessGroup` has it."""

    @property
    def rank(self) -> int:
        """Which of them this is."""
        ...

    @property
    def num_ranks(self) -> int:
        """How many there are."""
        ...

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes."""
        ...

    def gather(self, value: Result) -> list[Result]:
        """Return every rank's value, by rank, on every rank (collective)."""
        ...


class OneRank:
    """An evaluation in one process."""

    rank = 0
    num_ranks = 1
    is_main = True

    def gather(self, value: Result) -> list[Result]:
        """Return the only value."""
        return [value]


class OtherRankError(RuntimeError):
    """Another rank could not do its part; it says why, this one only stops."""


def on_every(ranks: Ranks, task: Callable[[], Result]) -> Result:
    """Run a task on every rank; where it fails on one, all stop (collective).

    The first rank that failed raises what went wrong there.

    Raises:
        OtherRankError: On the other ranks.
    """
    error: Exception | None = None
    result: list[Result] = []
    try:
        result.append(task())
    except Exception as raised:
        error = raised  # raised again below, once the ranks have met
    failed = [rank for rank, it in enumerate(ranks.gather(error is not None)) if it]
    if failed and failed[0] != ranks.rank:
        raise OtherRankError(f"Rank {failed[0]} stopped the evaluation; it says why.")
    if error is not None:
        raise error
    return result[0]
