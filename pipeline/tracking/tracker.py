"""The run in MLflow: a copy of `metrics.jsonl` and the run's files, for looking at.

Rank 0 alone writes. Whatever MLflow does, training goes on: a failure is logged once per kind, and
what could not be sent goes with the next row; rows also when the run is next started.
"""

import functools
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.config import TrackingConfig
from pipeline.run_folder.metric_log import MetricRow

if TYPE_CHECKING:
    from mlflow import MlflowClient

RunEnd = Literal["FINISHED", "FAILED", "KILLED"]

RETRY_AFTER_SECONDS = 30.0
"""After a failure MLflow is left alone for so long,"""

RETRY_AFTER_TIMES = 50.0
"""and for so many times as long as the failure took: a server that lets its callers wait for the
time-out costs a training 2 percent of its time at most."""

_MAX_METRICS_PER_REQUEST = 900  # 1000 entries of all kinds are allowed
_MAX_ROWS_PER_REQUEST = 50
_MAX_PARAMETERS_PER_REQUEST = 100
_LONGEST_PARAMETER = 6000
_LONGEST_TAG_NAME = 250
_LONGEST_DIGEST = 36

_SHOWN_AS_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Which of its two faces MLflow shows; the other one is for language models."""

_LOST = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow answers about a run that it does not have, as opposed to not answering."""

_logger = logging.getLogger(__name__)


class Tracker:
    """One MLflow run, or nothing at all where tracking is off or this is not rank 0."""

    def __init__(self, config: TrackingConfig, *, root: Path, is_on: bool) -> None:
        """Prepare to track; nothing is contacted yet.

        Args:
            config: Where MLflow is.
            root: Folder of runs, which holds the default database and its artifacts.
            is_on: Whether this process writes.
        """
        self._config = config
        self._root = root.resolve()
        self._is_on = is_on and config.enabled
        self._client: MlflowClient | None = None
        self._name = ""
        self._parameters: Mapping[str, Any] = {}
        self._known_run: str | None = None
        self._has_parameters = True
        self._pending: list[MetricRow] = []
        self._waiting: list[tuple[str, Callable[[MlflowClient, str], object]]] = []
        self._last_steps: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()
        self._silent_until = 0.0
        self._has_ended = False
        self.run_id: str | None = None

    @property
    def uri(self) -> str:
        """Tracking server or database."""
        return self._config.address(self._root)

    @property
    def parent_run_id(self) -> str | None:
        """Run that this one goes on from, under which MLflow shows it."""
        return self._config.parent_run_id

    @property
    def has_sent_all(self) -> bool:
        """Whether MLflow has everything that it was given, and how the run ended."""
        return self._has_ended and not self._pending and not self._waiting

    def start(
        self,
        *,
        name: str,
        run_id: str | None,
        parameters: Mapping[str, Any],
        rows: Iterable[MetricRow] = (),
    ) -> None:
        """Go on with a run, or begin one and log its parameters, once.

        Where MLflow is away just now, the run is joined as soon as it answers.

        Args:
            name: Name of a new run.
            run_id: The run to go on with; another one is begun where MLflow has lost it.
            parameters: Options by name.
            rows: What the run has measured before; those that MLflow lacks are sent.
        """
        if not self._is_on:
            return
        self._name, self._parameters, self._known_run = name, parameters, run_id
        self._pending = list(rows)
        self._send()

    def log_row(self, row: MetricRow, *, sends_now: bool = True) -> None:
        """Send a row, and everything before it that could not be sent; or only keep it for then."""
        if self._is_on:
            self._pending.append(row)
            if sends_now:
                self._send()

    def log_file(self, path: Path, *, folder: str = "") -> None:
        """Keep a file with the run, as it is when MLflow answers."""

        def send(client: "MlflowClient", run_id: str) -> None:
            if path.is_file():  # else it went while MLflow was away
                client.log_artifact(run_id, str(path), folder or None)

        self._with_run("log a file", send)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, such as the hashes of the corpora."""

        def send(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import RunTag  # noqa: PLC0415 -- takes seconds

            pairs = [RunTag(key[:_LONGEST_TAG_NAME], value) for key, value in tags.items()]
            for first in range(0, len(pairs), _MAX_PARAMETERS_PER_REQUEST):
                client.log_batch(run_id, tags=pairs[first : first + _MAX_PARAMETERS_PER_REQUEST])

        self._with_run("set tags", send)

    def log_corpora(self, corpora: Mapping[str, Mapping[str, Any]]) -> None:
        """Show what was trained on and scored: split, content hash and counts, by URL."""

        def send(client: "MlflowClient", run_id: str) -> None:
            from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415 -- seconds

            inputs = [
                DatasetInput(
                    Dataset(
                        name=url,
                        digest=facts["content_hash"].removeprefix("sha256:")[:_LONGEST_DIGEST],
                        source_type="corpus",
                        source=json.dumps({"url": url}),
                        profile=json.dumps(facts),
                    ),
                    [InputTag("mlflow.data.context", facts["split"])],
                )
                for url, facts in corpora.items()
            ]
            client.log_inputs(run_id, datasets=inputs)

        self._with_run("name the corpora", send)

    def end(self, status: RunEnd) -> None:
        """Send what is pending and say how the run ended, also where a file was refused."""
        if not self._is_on:
            return
        self._silent_until = 0.0
        self._send()
        self._silent_until = 0.0
        if (client := self._client) is not None and (run_id := self.run_id) is not None:
            self._has_ended = self._attempt("end", lambda: client.set_terminated(run_id, status))

    def _send(self) -> None:
        if self.run_id is None:
            self._attempt("begin", self._join)
        client, run_id = self._client, self.run_id
        if client is None or run_id is None:
            return
        if self._pending:
            self._attempt("log metrics", self._send_pending)
        while self._waiting:
            what, action = self._waiting[0]
            if not self._attempt(what, functools.partial(action, client, run_id)):
                return
            self._waiting.pop(0)

    def _join(self) -> None:
        """Go on with the known run, or begin one; what was done before a failure is kept."""
        client = self._client = self._client or self._connect()
        if self._known_run is None or not self._go_on(client, self._known_run):
            self._known_run = self._create_run(client)
            self._has_parameters = False
        if not self._has_parameters:
            self._log_parameters(client, self._known_run)
            self._has_parameters = True
        self.run_id = self._known_run

    def _connect(self) -> "MlflowClient":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # The defaults wait for minutes, and every step would wait with them.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

        return MlflowClient(tracking_uri=self.uri)

    def _go_on(self, client: "MlflowClient", run_id: str) -> bool:
        """Take a run up again; say whether MLflow still has it. An outage raises."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 -- takes seconds

        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in _LOST:
                return False
            raise
        if run.info.lifecycle_stage != "active":
            return False
        self._last_steps = {
            key.removeprefix("last_step."): int(value)
            for key, value in run.data.tags.items()
            if key.startswith("last_step.")
        }
        self._has_parameters = bool(run.data.params)  # else it died between the two requests
        client.update_run(run_id, status="RUNNING")
        return True

    def _create_run(self, client: "MlflowClient") -> str:
        experiment = client.get_experiment_by_name(self._config.experiment)
        experiment_id = experiment.experiment_id if experiment else self._create_experiment(client)
        self._last_steps = {}
        return client.create_run(experiment_id, run_name=self._name).info.run_id

    def _log_parameters(self, client: "MlflowClient", run_id: str) -> None:
        from mlflow.entities import Param  # noqa: PLC0415 -- takes seconds

        pairs = [
            Param(key, str(value)[:_LONGEST_PARAMETER]) for key, value in self._parameters.items()
        ]
        for first in range(0, len(pairs), _MAX_PARAMETERS_PER_REQUEST):
            client.log_batch(run_id, params=pairs[first : first + _MAX_PARAMETERS_PER_REQUEST])

    def _create_experiment(self, client: "MlflowClient") -> str:
        artifacts = None
        if self._config.uri is None:  # a database has no place for files: beside it
            artifacts = (self._root / "mlartifacts").as_uri()
        return client.create_experiment(
            self._config.experiment, artifact_location=artifacts, tags=_SHOWN_AS_TRAINING
        )

    def _send_pending(self) -> None:
        assert self._client is not None
        assert self.run_id is not None
        last = self._last_steps
        self._pending = [row for row in self._pending if row.step > last.get(row.kind, -1)]
        while rows := self._pending[:_MAX_ROWS_PER_REQUEST]:
            self._send_rows(rows, client=self._client, run_id=self.run_id)
            self._last_steps |= {row.kind: row.step for row in rows}
            del self._pending[: len(rows)]

    def _send_rows(self, rows: list[MetricRow], *, client: "MlflowClient", run_id: str) -> None:
        """Send rows, and with the last of their metrics the tags that say how far MLflow has them.

        What is sent again after a failure is no duplicate: MLflow knows a metric by name, step,
        time and value.
        """
        from mlflow.entities import Metric, RunTag  # noqa: PLC0415 -- takes seconds

        metrics = [
            Metric(name, value, int(row.time * 1000), row.step)
            for row in rows
            for name, value in row.values.items()
        ]
        tags = [
            RunTag(f"last_step.{kind}", str(step))
            for kind, step in {row.kind: row.step for row in rows}.items()
        ]
        for first in range(0, len(metrics), _MAX_METRICS_PER_REQUEST):
            chunk = metrics[first : first + _MAX_METRICS_PER_REQUEST]
            is_last = first + len(chunk) == len(metrics)
            client.log_batch(run_id, metrics=chunk, tags=tags if is_last else ())

    def _with_run(self, what: str, action: Callable[["MlflowClient", str], object]) -> None:
        """Do something with the run now, or as soon as MLflow answers."""
        if self._is_on:
            self._waiting.append((what, action))
            self._send()

    def _attempt(self, what: str, action: Callable[[], object]) -> bool:
        """Say whether the action went through; a failure is logged once a kind."""
        started = time.monotonic()
        if started < self._silent_until:
            return False
        try:
            action()
        except Exception as error:  # nothing that MLflow does may stop a training
            now = time.monotonic()
            pause = max(RETRY_AFTER_SECONDS, RETRY_AFTER_TIMES * (now - started))
            self._silent_until = now + pause
            kind = (what, type(error).__name__)
            if kind not in self._told:
                self._told.add(kind)
                _logger.warning(
                    "MLflow at %s: could not %s (%s: %s). Training goes on; metrics.jsonl has "
                    "everything.",
                    self.uri,
                    what,
                    type(error).__name__,
                    str(error).splitlines()[0] if str(error) else "no message",
                )
            return False
        return True
