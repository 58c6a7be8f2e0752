"""How a section of the configuration refuses a value, and how a rank ends that lost another."""


def refuse_unless(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a `ValueError` that names the option, what it is, and what it must be."""
    if not holds:
        raise ValueError(f"{name} is {value}: it must be {expected}.")


class LostRankError(RuntimeError):
    """Another rank died or hangs. Nothing is wrong with this one: the run can be started again."""


LOST_RANK = 75
"""Exit code of a process that lost another rank: `EX_TEMPFAIL`, try again."""
