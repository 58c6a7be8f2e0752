"""What a run leaves for its readers: rows, status, configuration, and their copy in MLflow."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from .config import PretrainConfig
from .metric_log import MetricRow
from .run_folder import RunFolder
from .run_state import RunState
from .run_status import RunStatus, State, read_status, write_status
from .tracking import RunEnd, Tracker

PARENT_TAG = "mlflow.parentRunId"
"""Tag under which MLflow shows a run as the child of another."""

_logger = logging.getLogger(__name__)

_END_IN_MLFLOW: Mapping[State, RunEnd] = {
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
        before = read_status(self._folder.path)
        for change in self._folder.write_config(self._config):
            _logger.info("Changed since the last start: %s.", change)
        self._folder.write_environment(facts=facts)
        self._tracker.start(
            name=self._config.run.name,
            run_id=state.mlflow_run_id or (before.mlflow_run_id if before else None),
            parameters=self._folder.read_flat_config(),
            rows=self._folder.metrics.rows(),
        )
        state.mlflow_run_id = self._tracker.run_id or state.mlflow_run_id
        for path in (self._folder.config, self._folder.environment):
            self._tracker.log_file(path)
        self._tracker.log_tags(
            {
                f"content_hash.{url}"[:250]: str(corpus["content_hash"])
                for url, corpus in facts["corpora"].items()
            }
        )
        parent = self._config.tracking.parent_run_id
        if parent is not None:
            self._tracker.log_tags({PARENT_TAG: parent})
        self._write_status(state, as_state="running", message="")

    def write(
        self, state: RunState, *, kind: Literal["train", "validation"], values: Mapping[str, float]
    ) -> None:
        """Write a row of `metrics.jsonl`, and where the run stands."""
        if self._is_on:
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
            self._tracker.log_row(row)
            # MLflow may have been away at the start.
            state.mlflow_run_id = self._tracker.run_id or state.mlflow_run_id

    def keep_pictures(self, paths: Sequence[Path]) -> None:
        """Copy the pictures of one validation, which lie in one folder, to MLflow."""
        for path in paths:
            self._tracker.log_file(path, folder=f"pictures/{path.parent.name}")

    def end(self, state: RunState, *, as_state: State, message: str) -> None:
        """Say how the run ended, in `status.json` and MLflow."""
        if self._is_on:
            with contextlib.suppress(OSError):  # a full disk must not hide what went wrong before
                self._write_status(state, as_state=as_state, message=message)
            self._tracker.end(_END_IN_MLFLOW[as_state])

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
