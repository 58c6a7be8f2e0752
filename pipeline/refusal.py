"""How a section of the configuration refuses a value, and how a rank ends that lost another."""

import sys


def refuse_unless(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a `ValueError` that names the option, what it is, and what it must be."""
    if not holds:
        raise ValueError(f"{name} is {value}: it must be {expected}.")


class LostRankError(RuntimeError):
    """Another rank died or hangs. Nothing is wrong with this one: the run can be started again."""

    @classmethod
    def of(cls, error: Exception, *, advice: str) -> "LostRankError":
        """Return what to say of a collective that failed, and what to do."""
        # The first sentence of what torch says; others guess at reasons.
        said = str(error).partition("\n")[0].partition(". ")[0]
        return cls(f"Another rank died or hangs: {said}. {advice}")


LOST_RANK = 75
"""Exit code of a process that lost another rank: `EX_TEMPFAIL`, try again."""


def is_of_a_collective(error: Exception) -> bool:
    """Tell the failure of a collective; gloo's have no type of their own, but name their source."""
    # Nothing where torch has not been imported: it takes seconds, and there were no collectives.
    errors_of_torch = getattr(sys.modules.get("torch.distributed"), "DistError", ())
    names_gloo = isinstance(error, RuntimeError) and "gloo/" in str(error)
    return names_gloo or isinstance(error, errors_of_torch)
