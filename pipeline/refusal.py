"""How a section of the configuration refuses a value, and how ranks hear that rank 0 refused."""


def refuse_unless(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a `ValueError` that names the option, what it is, and what it must be."""
    if not holds:
        raise ValueError(f"{name} is {value}: it must be {expected}.")


class OtherRankError(RuntimeError):
    """Rank 0 could not do its part; it says why, the other ranks only stop."""


class LostRankError(RuntimeError):
    """Another rank died or hangs. Nothing is wrong with this one: the run can be started again."""


LOST_RANK = 75
"""Exit code of a process that lost another rank: `EX_TEMPFAIL`, try again."""
