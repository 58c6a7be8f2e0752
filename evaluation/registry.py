"""The MLflow registry: deployables as versions of a model, the best one under `champion`.

A version becomes champion when there is none, or when it beats the champion on the same held-out
corpus: the lower bound of the paired bootstrap of the mean Dice difference is above 0. A champion
that was never measured on that corpus is measured first. Every other version stays a plain one, and
its tags say why. MLflow is imported where it is used: it costs more than a second.
"""

import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .deployable_folder import PREPROCESSING_FILE, RUNTIME_REQUIREMENTS
from .deployable_predict import read_preprocessing, verify_checksums
from .deployable_predictor import DeployablePredictor
from .evaluate import evaluate_corpus
from .promotion import HeldOutResult, Promotion, decide_promotion
from .records import EvaluationRecord, read_records, write_records

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
"""Alias of the version to use."""

EXPERIMENT = "deployables"
"""MLflow experiment whose runs hold the registered folders."""

PYFUNC_REQUIREMENTS = ("mlflow-skinny", "pandas", *RUNTIME_REQUIREMENTS)
"""What loading a version as pyfunc needs; downloading its folder needs `mlflow-skinny` only."""

_SQLITE_MAGIC = b"SQLite format 3\0"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A version of the registry, as it was made."""

    name: str
    version: str
    promotion: Promotion

    @property
    def uri(self) -> str:
        """What `launchers/predict.py model=` and `mlflow.pyfunc.load_model` take."""
        return f"models:/{self.name}/{self.version}"


def register_deployable(
    folder: Path, *, name: str, result: HeldOutResult, tracking_uri: str
) -> Registration:
    """Add the folder as a version of `name`, and make it champion if it is the best.

    Args:
        folder: What `export_deployable` wrote.
        name: The registered model.
        result: The rows of this deployable on a held-out corpus.
        tracking_uri: `sqlite:///FILE`, or the address of an MLflow server.

    Raises:
        ValueError: The folder is no intact deployable, or has no rows.
        ConnectionError: The server does not answer.
    """
    read_preprocessing(folder)
    verify_checksums(folder)
    if not result.records:
        raise ValueError(
            f"{folder} has no evaluation rows on {result.corpus.url}, so it cannot be compared. "
            "Evaluate it on a corpus that holds objects."
        )
    with _registry(tracking_uri) as client:
        champion = _champion(client, name)
        if champion is None:
            promotion = Promotion(is_champion=True, reason=f"{name} had no champion")
        else:
            rows = _records_of(client, champion, result=result, tracking_uri=tracking_uri)
            promotion = decide_promotion(result.records, rows, champion=str(champion.version))
        version = _add_version(client, folder, name=name, result=result, promotion=promotion)
        if promotion.is_champion:
            client.set_registered_model_alias(name, CHAMPION, version)
    _logger.info("%s version %s: %s", name, version, promotion.reason)
    return Registration(name=name, version=version, promotion=promotion)


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

    database = _local_database(tracking_uri)
    if database is not None and not database.is_file():
        raise FileNotFoundError(
            f"tracking_uri={tracking_uri}: there is no database {database}, so no registry. Give "
            "the tracking_uri that the model was registered with."
        )
    with _registry(tracking_uri):
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


@contextmanager
def _registry(tracking_uri: str) -> Iterator["MlflowClient"]:
    """Yield a client of the registry; MLflow's errors become ours, with the address in them."""
    check_registry(tracking_uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if not sys.stderr.isatty():
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    for name in ("alembic", "mlflow"):  # a page of messages for a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    was_set = mlflow.is_tracking_uri_set()
    previous = mlflow.get_tracking_uri() if was_set else None
    mlflow.set_tracking_uri(tracking_uri)  # log_model knows no other way
    try:
        yield mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    except MlflowException as error:
        message = str(error).splitlines()[0]
        raise ValueError(f"The registry at {tracking_uri} answers: {message}") from error
    finally:
        mlflow.set_tracking_uri(previous)  # pyright: ignore[reportArgumentType] -- None unsets it


def check_registry(tracking_uri: str) -> None:
    """Raise at once where nothing can answer; MLflow itself would try for minutes.

    Raises:
        ConnectionError: No server listens there.
        ValueError: The local database is none, or may not be written.
    """
    database = _local_database(tracking_uri)
    if database is not None:
        _check_database(database, tracking_uri=tracking_uri)
    address = urlsplit(tracking_uri)
    if address.scheme not in ("http", "https"):
        return
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError as error:
        raise ConnectionError(
            f"tracking_uri={tracking_uri}: no server answers there ({error}). Start it, or give "
            "sqlite:///FILE for a local registry."
        ) from error


def _check_database(database: Path, *, tracking_uri: str) -> None:
    nearest = next(path for path in (database, *database.parents) if path.exists())
    if nearest == database:
        is_usable = database.is_file() and os.access(database, os.R_OK | os.W_OK)
    else:
        is_usable = nearest.is_dir() and os.access(nearest, os.W_OK)
    if is_usable and nearest == database:
        with database.open("rb") as file:
            is_usable = file.read(len(_SQLITE_MAGIC)) in (_SQLITE_MAGIC, b"")
    if not is_usable:
        raise ValueError(
            f"tracking_uri={tracking_uri}: {nearest} is no SQLite database or folder that this "
            "user may write. Give sqlite:///FILE, or the address of a server."
        )


def _local_database(tracking_uri: str) -> Path | None:
    """Return the file of a local database, or None for a server."""
    prefix = "sqlite:///"
    if not tracking_uri.startswith(prefix):
        return None
    return Path(tracking_uri.removeprefix(prefix)).absolute()


def _champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the version under the alias, or None if there is no model or no alias yet."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _records_of(
    client: "MlflowClient", champion: "ModelVersion", *, result: HeldOutResult, tracking_uri: str
) -> list[EvaluationRecord]:
    """Return the champion's rows on the corpus of `result`; measure and keep them if need be."""
    run_id = str(champion.run_id)
    kept = {Path(entry.path).name for entry in client.list_artifacts(run_id, "evaluation")}
    with tempfile.TemporaryDirectory() as scratch:
        if result.records_file in kept:
            path = client.download_artifacts(run_id, f"evaluation/{result.records_file}", scratch)
            return read_records(Path(path))
        _logger.info(
            "champion version %s has no rows on %s: it is evaluated first",
            champion.version,
            result.corpus.url,
        )
        folder = pull_deployable(
            f"models:/{champion.name}/{champion.version}",
            tracking_uri=tracking_uri,
            destination=Path(scratch),
        )
        rows = evaluate_corpus(
            DeployablePredictor(folder),
            result.corpus,
            protocol=result.protocol,
            model_name=f"{champion.name} version {champion.version}",
        )
        _keep_records(client, run_id, rows=rows, name=result.records_file)
    return rows


def _keep_records(
    client: "MlflowClient", run_id: str, *, rows: Sequence[EvaluationRecord], name: str
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        write_records(path, rows)
        client.log_artifact(run_id, str(path), "evaluation")


def _add_version(
    client: "MlflowClient", folder: Path, *, name: str, result: HeldOutResult, promotion: Promotion
) -> str:
    """Store the folder and its rows in a run of their own, and return the version's number."""
    import mlflow  # noqa: PLC0415

    tags = {
        "manifest_hash": result.corpus.manifest.content_hash,
        "protocol": result.protocol,
        "mean_dice": f"{result.mean_dice:.6f}",
        "num_rows": str(len(result.records)),
        "decision": promotion.reason,
    }
    experiment_id = _experiment(client, mlflow.get_tracking_uri())
    run = mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=tags)
    try:
        mlflow.log_metric("mean_dice", result.mean_dice)
        _keep_records(client, run.info.run_id, rows=result.records, name=result.records_file)
        version = _log_version(folder, name=name)
    except BaseException:
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run()
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    return version


def _log_version(folder: Path, *, name: str) -> str:
    """Store the folder as a pyfunc in the active run, register it and return the version."""
    with warnings.catch_warnings():
        # MLflow warns about type hints of its own classes when its pyfunc is imported.
        warnings.filterwarnings("ignore", message=".*type hint", category=UserWarning)
        import mlflow.pyfunc  # noqa: PLC0415

        logged = mlflow.pyfunc.log_model(
            name="deployable",
            python_model=str(Path(__file__).with_name("registry_model.py")),
            artifacts={"deployable": str(folder.resolve())},
            signature=_signature(),
            input_example=_input_example(),
            pip_requirements=list(PYFUNC_REQUIREMENTS),
            registered_model_name=name,
        )
    return str(logged.registered_model_version)


def _experiment(client: "MlflowClient", tracking_uri: str) -> str:
    """Return the experiment of deployables; a local database keeps their files beside itself."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    database, location = _local_database(tracking_uri), None
    if database is not None:
        location = (database.parent / "mlartifacts" / EXPERIMENT).as_uri()
    return client.create_experiment(EXPERIMENT, artifact_location=location)


def _input_example() -> dict[str, Any]:
    """Return one grey image and one click, as `registry_model` documents them."""
    import numpy as np  # noqa: PLC0415

    return {
        "images": np.zeros((1, 16, 16, 3), dtype=np.uint8),
        "image_index": np.zeros(1, dtype=np.int64),
        "points": np.full((1, 1, 2), 8.0),
        "point_labels": np.ones((1, 1), dtype=np.int64),
    }


def _signature() -> Any:  # noqa: ANN401 -- a class of MLflow, which is imported here only
    """Return the tensors that `registry_model` takes and gives; -1 stands for any length."""
    import numpy as np  # noqa: PLC0415
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types.schema import ColSpec, Schema, TensorSpec  # noqa: PLC0415

    inputs: list[ColSpec | TensorSpec] = [
        TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3), "images"),
        TensorSpec(np.dtype(np.int64), (-1,), "image_index"),
        TensorSpec(np.dtype(np.float64), (-1, -1, 2), "points"),
        TensorSpec(np.dtype(np.int64), (-1, -1), "point_labels"),
    ]
    masks = TensorSpec(np.dtype(np.uint8), (-1, -1, -1), "masks")
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([masks]))
