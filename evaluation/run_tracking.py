"""The means of an evaluation, logged into the MLflow run that trained the checkpoint."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .summary import Summary
from .training_tiers import UNKNOWN_TIER

_logger = logging.getLogger(__name__)


def log_summaries(checkpoint: Path, *, summaries: Sequence[Summary]) -> bool:
    """Log overall means as `evaluation/PROTOCOL/TIER/METRIC`; say whether it was done.

    An unknown tier is left out of the name.

    A checkpoint without an MLflow run is passed over. A server that does not answer costs a
    warning: the numbers are in the report in any case.
    """
    run_id, step = _run_of(checkpoint)
    uri = _tracking_uri(checkpoint)
    if run_id is None or uri is None:
        return False
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # The defaults wait for minutes on a server that is gone.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow  # noqa: PLC0415 -- takes a second

    means = {
        "/".join(("evaluation", summary.protocol, *_known(summary.tier), name)): mean
        for summary in summaries
        for name, mean in summary.scores().items()
    }
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        for name, mean in means.items():
            client.log_metric(run_id, name, mean, step=step)
    except Exception as error:  # the report is written; nothing that MLflow does may spoil it
        _logger.warning("The means were not logged into MLflow run %s: %s", run_id, error)
        return False
    return True


def _known(tier: str) -> list[str]:
    return [] if tier == UNKNOWN_TIER else [tier]


def _run_of(checkpoint: Path) -> tuple[str | None, int]:
    """Return the MLflow run and the optimizer step that a checkpoint's state names."""
    path = checkpoint / "run_state.json"
    if not path.is_file():
        return None, 0
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return state.get("mlflow_run_id"), int(state.get("step", 0))


def _tracking_uri(checkpoint: Path) -> str | None:
    """Return where the run's own configuration keeps it, or None without such a record."""
    import yaml  # noqa: PLC0415

    run = checkpoint.absolute().parent.parent
    path = run / "config.yaml"
    if not path.is_file():
        return None
    tracking = yaml.safe_load(path.read_text(encoding="utf-8")).get("tracking") or {}
    if not tracking.get("enabled", True):
        return None
    return tracking.get("uri") or f"sqlite:///{run.parent / 'mlflow.db'}"
