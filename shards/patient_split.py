"""Splits by subject, for sources that publish none: images of one subject never part."""

import hashlib

SPLITS = ("train", "validation", "test")


def split_of_subject(
    source: str, *, subject: str, seed: int, validation_fraction: float, test_fraction: float
) -> str:
    """Return the split of a subject: a place in [0, 1) from a hash decides, nothing else.

    A subject keeps its split when others are added to the source, so that a test set stays one.
    """
    digest = hashlib.sha256(f"{seed}/{source}/{subject}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_fraction:
        return "test"
    if place < test_fraction + validation_fraction:
        return "validation"
    return "train"
