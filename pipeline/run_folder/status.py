"""`status.json`: how far a run is and how it ended, for people.

Resuming takes nothing from it but the MLflow run of a run that was killed before its first save.
"""

import dataclasses
import fcntl
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

STATUS = "status.json"

State = Literal["running", "finished", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What the file says."""

    state: State
    step: int
    max_steps: int
    score_name: str | None = None
    best_score: float | None = None
    mlflow_run_id: str | None = None
    message: str = ""
    updated: float = 0.0
    """Seconds since the epoch."""


def write_status(folder: Path, *, status: RunStatus) -> None:
    """Write where the run stands, whole or not at all."""
    stamped = dataclasses.replace(status, updated=time.time())
    aside = folder / f"{STATUS}.partial"
    aside.write_text(json.dumps(dataclasses.asdict(stamped)) + "\n", encoding="utf-8")
    aside.replace(folder / STATUS)


def read_status(folder: Path) -> RunStatus | None:
    """Return where the run stands; None where nothing was written, or nothing whole."""
    try:
        content = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        return RunStatus(**content)
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, TypeError):
        return None


def is_locked(folder: Path) -> bool:
    """Say whether a process is writing to the run just now."""
    try:
        with (folder / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
