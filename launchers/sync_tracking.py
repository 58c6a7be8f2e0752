"""Send a run into MLflow afterwards: `python launchers/sync_tracking.py run=runs/NAME`."""

import sys

from launchers.command_line import run_command
from pipeline.tracking.sync_config import TrackingSyncConfig


def sync_tracking(config: TrackingSyncConfig) -> None:
    """Send a run into MLflow that was trained without it, or while it was away."""
    from pipeline.tracking.sync import sync_run

    sync_run(config)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(TrackingSyncConfig, sync_tracking)


if __name__ == "__main__":
    sys.exit(main())
