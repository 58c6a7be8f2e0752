"""Options of the list of runs."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class ListRunsConfig:
    """Which runs are listed."""

    root: str = "runs"
    """Folder that holds the run folders, as `run.root` of the pretraining."""
