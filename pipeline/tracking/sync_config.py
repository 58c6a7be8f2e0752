"""Options of the transfer of a run into MLflow."""

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass(kw_only=True)
class TrackingSyncConfig:
    """Which run is sent, and where to."""

    run: str = MISSING
    """Run folder, RUN.ROOT/RUN.NAME. No process may be writing to it."""

    uri: str | None = None
    """Tracking server or database; null is where the run's own options keep it."""
