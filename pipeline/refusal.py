"""How a section of the configuration refuses a value."""


def refuse_unless(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise a `ValueError` that names the option, what it is, and what it must be."""
    if not holds:
        raise ValueError(f"{name} is {value}: it must be {expected}.")
