"""A run that was trained without MLflow, or while it was away, sent there afterwards."""

import dataclasses
import logging
from pathlib import Path

from pipeline.config import TrackingConfig
from pipeline.run_folder.folder import RunFolder, locked
from pipeline.run_folder.status import read_status, write_status

from .run_records import END_IN_MLFLOW, checkpoint_tags, introduce_run, log_picture
from .sync_config import TrackingSyncConfig
from .tracker import Tracker

_logger = logging.getLogger(__name__)


def sync_run(config: TrackingSyncConfig) -> None:
    """Send what MLflow lacks of a run; once more sends nothing twice.

    Raises:
        FileNotFoundError: There is no run.
        RuntimeError: A process is writing to the run, or MLflow could not take everything.
    """
    folder = RunFolder(path=Path(config.run))
    status = read_status(folder.path)
    if status is None or not folder.environment.is_file():
        raise FileNotFoundError(
            f"run={config.run}: there is no run that has begun (no status.json and "
            "environment.json). Give the folder RUN.ROOT/RUN.NAME of a run."
        )
    with locked(folder.path):
        tracker = _tracker_of(folder, uri=config.uri)
        introduce_run(tracker, folder, run_id=status.mlflow_run_id)
        for path in sorted(folder.pictures.glob("*/*.png")):
            log_picture(tracker, path)
        tracker.log_tags(checkpoint_tags(folder))
        tracker.end(END_IN_MLFLOW[status.state])
        if tracker.run_id is not None and tracker.run_id != status.mlflow_run_id:
            known = dataclasses.replace(status, mlflow_run_id=tracker.run_id)
            write_status(folder.path, status=known)
    if not tracker.has_sent_all:
        raise RuntimeError(
            f"MLflow at {tracker.uri} did not take everything; the warning above says why. Start "
            "the same command again when it answers: it sends what is missing."
        )
    _logger.info("%s is run %s of MLflow at %s.", folder.path, tracker.run_id, tracker.uri)


def _tracker_of(folder: RunFolder, *, uri: str | None) -> Tracker:
    options = folder.read_flat_config()
    config = TrackingConfig(
        uri=uri or options["tracking.uri"],
        experiment=options["tracking.experiment"],
        parent_run_id=options["tracking.parent_run_id"],
    )
    return Tracker(config, root=folder.path.parent, is_on=True)
