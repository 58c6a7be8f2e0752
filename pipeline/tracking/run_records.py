"""What a run leaves for its readers: rows, status, configuration, and their copy in MLflow."""

import contextlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model import BEST, COMPLETE
from pipeline.checkpoint import step_folders
from pipeline.config import PretrainConfig
from pipeline.run_folder.folder import RunFolder
from pipeline.run_folder.metric_log import MetricRow, RowKind
from pipeline.run_folder.state import RunState
from pipeline.run_folder.status import RunStatus, State, read_status, write_status

from .system_metrics import SystemMetrics
from .tracker import RunEnd, Tracker

PARENT_TAG = "mlflow.parentRunId"
"""Tag under which MLflow shows a run as the child of another."""

_logger = logging.getLogger(__name__)

END_IN_MLFLOW: Mapping[State, RunEnd] = {
    "running": "KILLED",  # of a run that no process holds any more
    "finished": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}


class RunRecords:
    """Writes the records of a run on rank 0, and nothing on the others."""

    def __init__(self, folder: RunFolder, *, config: PretrainConfig, is_on: bool) -> None:
        """Prepare to write; nothing is touched yet.

        Args:
            folder: The run.
            config: Its options.
            is_on: Whether this is rank 0.
        """
        self._folder = folder
        self._config = config
        self._is_on = is_on
        self._tracker = Tracker(config.tracking, root=folder.path.parent, is_on=is_on)
        self._system: SystemMetrics | None = None

    def begin(self, state: RunState, *, facts: Mapping[str, Any]) -> None:
        """Cut the metrics back to the checkpoint, and begin or go on with the MLflow run.

        Args:
            state: Where the run stands; gets the MLflow run's id.
            facts: What was found at run time, for `environment.json`; holds `corpora`.
        """
        if not self._is_on:
            return
        num_dropped = self._folder.metrics.cut_back(step=state.step)
        if num_dropped:
            _logger.info("metrics.jsonl: %d rows after the checkpoint were cut.", num_dropped)
        for change in self._folder.write_config(self._config):
            _logger.info("Changed since the last start: %s.", change)
        self._folder.write_environment(facts=facts)
        self._system = SystemMetrics()
        self._join_mlflow(state)
        self._write_status(state, as_state="running", message="")

    def write(
        self,
        state: RunState,
        *,
        kind: RowKind,
        values: Mapping[str, float],
        sends_now: bool = True,
    ) -> None:
        """Write a row of `metrics.jsonl`, and where the run stands.

        Args:
            state: Where that is.
            kind: Of the row.
            values: Of the row.
            sends_now: Whether MLflow gets the row now, or with what it gets next.
        """
        if self._is_on:
            if kind == "train" and self._system is not None:
                values = {**values, **self._system.take()}
            row = MetricRow(step=state.step, kind=kind, values=values, time=time.time())
            try:
                self._folder.metrics.append(row)
                self._write_status(state, as_state="running", message="")
            except OSError as error:
                raise OSError(
                    f"{self._folder.path}: the metrics of step {state.step} could not be written: "
                    f"{error.strerror or error}. The checkpoints are intact. Make room, or make "
                    "the folder writable, and start the same command again; it resumes from the "
                    "last one."
                ) from error
            self._tracker.log_row(row, sends_now=sends_now)
            # MLflow may have been away at the start.
            state.mlflow_run_id = self._tracker.run_id or state.mlflow_run_id

    def keep_pictures(self, paths: Sequence[Path]) -> None:
        """Copy the pictures of one validation, which lie in one folder, to MLflow."""
        for path in paths:
            log_picture(self._tracker, path)

    def note_checkpoints(self) -> None:
        """Let MLflow name the latest and the best checkpoint."""
        if self._is_on:
            self._tracker.log_tags(checkpoint_tags(self._folder))

    def end(self, state: RunState, *, as_state: State, message: str) -> None:
        """Say how the run ended, in `status.json` and MLflow."""
        if self._is_on:
            if self._system is None:  # nothing was left to do, but this may never have been told
                self._join_mlflow(state)
            with contextlib.suppress(OSError):  # a full disk must not hide what went wrong before
                self._write_status(state, as_state=as_state, message=message)
            self._tracker.end(END_IN_MLFLOW[as_state])

    def _join_mlflow(self, state: RunState) -> None:
        before = read_status(self._folder.path)
        known = state.mlflow_run_id or (before.mlflow_run_id if before else None)
        introduce_run(self._tracker, self._folder, run_id=known)
        state.mlflow_run_id = self._tracker.run_id or known

    def _write_status(self, state: RunState, *, as_state: State, message: str) -> None:
        best = state.best_score
        write_status(
            self._folder.path,
            status=RunStatus(
                state=as_state,
                step=state.step,
                max_steps=self._config.run.max_steps,
                score_name=best.name if best else None,
                best_score=best.value if best else None,
                mlflow_run_id=state.mlflow_run_id,
                message=message,
            ),
        )


def introduce_run(tracker: Tracker, folder: RunFolder, *, run_id: str | None) -> None:
    """Go on with a run in MLflow, or begin one, with all that its folder says of it.

    Args:
        tracker: Sends it.
        folder: The run, with its configuration and environment written.
        run_id: The run in MLflow, where it is known.
    """
    options = folder.read_flat_config()
    corpora = json.loads(folder.environment.read_text(encoding="utf-8"))["corpora"]
    tracker.start(
        name=options["run.name"],
        run_id=run_id,
        parameters=options,
        rows=folder.metrics.rows(),
    )
    for path in (folder.config, folder.environment):
        tracker.log_file(path)
    tracker.log_corpora(corpora)
    hashes = {f"content_hash.{url}": one["content_hash"] for url, one in corpora.items()}
    parent = tracker.parent_run_id
    tracker.log_tags(hashes | ({} if parent is None else {PARENT_TAG: parent}))


def log_picture(tracker: Tracker, path: Path) -> None:
    """Keep a picture of a validation with the run, in a folder named after its step."""
    tracker.log_file(path, folder=f"pictures/{path.parent.name}")


def checkpoint_tags(folder: RunFolder) -> dict[str, str]:
    """Return where the run lies, and its latest and best checkpoint, as far as there are any."""
    tags = {"run_folder": str(folder.path.absolute())}
    for path in step_folders(folder.checkpoints):
        if (path / COMPLETE).is_file():
            tags["checkpoint.latest"] = str(path.absolute())
    marker = folder.checkpoints / BEST
    if marker.is_file():
        best = folder.checkpoints / marker.read_text(encoding="ascii").strip()
        tags["checkpoint.best"] = str(best.absolute())
    return tags
