"""Rows that leave the house: what images and subjects are called stays behind."""

import dataclasses
import hashlib
from collections.abc import Sequence

from evaluation.records import EvaluationRecord

_HASHED = "sha256:"
_NUM_DIGITS = 16


def without_names(rows: Sequence[EvaluationRecord]) -> list[EvaluationRecord]:
    """Return rows whose keys and subjects are hashes, the same ones for the same corpus.

    Two models' rows on one corpus can still be paired by them, and whoever has the corpus finds an
    image by its place there. Rows that bear hashes already stay as they are.
    """
    return [
        dataclasses.replace(
            row, key=_hashed(row.key, row=row), subject=_hashed(row.subject, row=row)
        )
        for row in rows
    ]


def _hashed(name: str, *, row: EvaluationRecord) -> str:
    """Return what stands for a name; another corpus gives another one."""
    if name.startswith(_HASHED):
        return name
    digest = hashlib.sha256(f"{row.corpus_hash}\n{row.source}\n{name}".encode()).hexdigest()
    return f"{_HASHED}{digest[:_NUM_DIGITS]}"
