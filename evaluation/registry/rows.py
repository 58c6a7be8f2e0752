"""The folder and the rows of a registered version."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.deployable.folder import PREPROCESSING_FILE
from evaluation.deployable.predictor import DeployablePredictor
from evaluation.evaluate import evaluate_corpus
from evaluation.records import EvaluationRecord, read_records, write_records

from .client import local_database, open_registry
from .promotion import HeldOutResult
from .row_names import without_names

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_logger = logging.getLogger(__name__)


def pull_deployable(reference: str, *, tracking_uri: str, destination: Path) -> Path:
    """Download a version and return its deployable folder.

    Args:
        reference: `models:/NAME@champion` or `models:/NAME/VERSION`.
        tracking_uri: Where the registry is.
        destination: Empty folder that takes the files.

    Raises:
        ValueError: There is no such model, alias or version, or it holds no deployable.
        ConnectionError: The server does not answer.
    """
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415

    database = local_database(tracking_uri)
    if database is not None and not database.is_file():
        raise FileNotFoundError(
            f"tracking_uri={tracking_uri}: there is no database {database}, so no registry. Give "
            "the tracking_uri that the model was registered with."
        )
    with open_registry(tracking_uri):
        downloaded = download_artifacts(
            artifact_uri=reference,
            dst_path=str(destination),
            tracking_uri=tracking_uri,
            registry_uri=tracking_uri,
        )
    found = sorted(Path(downloaded).glob(f"artifacts/*/{PREPROCESSING_FILE}"))
    if not found:
        raise ValueError(
            f"{reference} at {tracking_uri} holds no deployable of samuspretrain. "
            "launchers/export_deployable.py register_as=NAME registers one."
        )
    return found[0].parent


def rows_of_version(
    client: "MlflowClient", version: "ModelVersion", *, result: HeldOutResult, tracking_uri: str
) -> list[EvaluationRecord]:
    """Return a version's rows on the corpus of `result`; measure and keep them if need be.

    Their images and subjects bear hashes instead of names, see `without_names`.
    """
    run_id = str(version.run_id)
    kept = {Path(entry.path).name for entry in client.list_artifacts(run_id, "evaluation")}
    with tempfile.TemporaryDirectory() as scratch:
        if result.records_file in kept:
            path = client.download_artifacts(run_id, f"evaluation/{result.records_file}", scratch)
            return without_names(read_records(Path(path)))
        _logger.info(
            "version %s has no rows on %s: it is evaluated first",
            version.version,
            result.corpus.url,
        )
        folder = pull_deployable(
            f"models:/{version.name}/{version.version}",
            tracking_uri=tracking_uri,
            destination=Path(scratch),
        )
        rows = evaluate_corpus(
            DeployablePredictor(folder),
            result.corpus,
            protocol=result.protocol,
            model_name=f"{version.name} version {version.version}",
        )
        keep_records(client, run_id, rows=rows, name=result.records_file)
    return without_names(rows)


def keep_records(
    client: "MlflowClient", run_id: str, *, rows: Sequence[EvaluationRecord], name: str
) -> None:
    """Store rows, without names, with a version's run; `name` is that of their question."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        write_records(path, without_names(rows))
        client.log_artifact(run_id, str(path), "evaluation")
