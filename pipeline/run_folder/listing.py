"""The runs of a folder, as `list_runs` shows them."""

from dataclasses import dataclass
from pathlib import Path

from .status import is_locked, read_status

DIED = "died"
"""A run that says it is running, but that no process holds: it was killed, and can be resumed."""


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """One line of the list."""

    name: str
    state: str
    step: int
    max_steps: int
    score_name: str | None
    best_score: float | None
    updated: float
    """Seconds since the epoch."""


def find_runs(root: str) -> list[ListedRun]:
    """Return the runs of a folder, the one with the latest sign of life first.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(
            f"root={root}: there is no such folder. Give the run.root of the runs to list."
        )
    runs: list[ListedRun] = []
    for path in Path(root).iterdir():
        status = read_status(path)
        if status is None:
            continue
        is_dead = status.state == "running" and not is_locked(path)
        runs.append(
            ListedRun(
                name=path.name,
                state=DIED if is_dead else status.state,
                step=status.step,
                max_steps=status.max_steps,
                score_name=status.score_name,
                best_score=status.best_score,
                updated=status.updated,
            )
        )
    return sorted(runs, key=lambda run: run.updated, reverse=True)
