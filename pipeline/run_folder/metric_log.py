"""`metrics.jsonl`: one row per logged step or validation, the source of truth of a run."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RowKind = Literal["train", "validation", "checkpoint"]


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """What was measured at one step."""

    step: int
    """Optimizer steps taken."""

    kind: RowKind
    values: Mapping[str, float]
    """Numbers by name, such as `train/loss` or `validation/dice`; none is NaN."""

    time: float
    """Seconds since the epoch, for display alone."""


class MetricLog:
    """Appends rows to the file, each flushed, so that a kill costs at most a torn last line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: MetricRow) -> None:
        """Write one row."""
        line = _line(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def cut_back(self, *, step: int) -> int:
        """Drop the rows after `step` and a torn last line; return how many lines went.

        A resumed run repeats those steps, and would otherwise have them twice.
        """
        if not self.path.exists():
            return 0
        kept = [row for row in self.rows() if row.step <= step]
        num_lines = len(self.path.read_text(encoding="utf-8").splitlines())
        if len(kept) == num_lines:
            return 0
        aside = self.path.with_suffix(".partial")
        aside.write_text("".join(_line(row) for row in kept), encoding="utf-8")
        aside.replace(self.path)
        return num_lines - len(kept)

    def rows(self) -> Iterator[MetricRow]:
        """Yield the whole rows, in the order they were written."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                if not line.endswith("\n"):
                    return
                entries = json.loads(line)
                step, kind, time = (entries.pop(name) for name in ("step", "kind", "time"))
                yield MetricRow(step=step, kind=kind, time=time, values=entries)


def _line(row: MetricRow) -> str:
    entries = {"step": row.step, "kind": row.kind, "time": row.time, **row.values}
    return json.dumps(entries, allow_nan=False) + "\n"
