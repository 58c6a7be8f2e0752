"""The MLflow registry: deployables as versions of a model, the best one under `champion`.

A version becomes champion when there never was one, or when it beats the champion on the same
held-out corpus: the lower bound of the paired bootstrap of the mean Dice difference is above 0. A
champion that was never measured on that corpus is measured first. After a demotion the version to
beat is the last champion that was never withdrawn. Every other version becomes the challenger, and
its tags say why. MLflow is imported where it is used: it costs more than a second.
"""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.deployable.folder import RUNTIME_REQUIREMENTS
from evaluation.deployable.predict import read_preprocessing, verify_checksums
from evaluation.summary import summarise

from .client import local_database, open_registry
from .promotion import HeldOutResult, Promotion, decide_promotion
from .row_names import without_names
from .rows import keep_records, rows_of_version
from .standing import CHALLENGER, crown, version_to_beat

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "deployables"
"""MLflow experiment whose runs hold the registered folders."""

PYFUNC_REQUIREMENTS = ("mlflow-skinny", "pandas", *RUNTIME_REQUIREMENTS)
"""What loading a version as pyfunc needs; downloading its folder needs `mlflow-skinny` only."""

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
    with open_registry(tracking_uri) as client:
        to_beat = version_to_beat(client, name)
        if to_beat is None:
            promotion = Promotion(is_champion=True, reason=f"{name} had no champion")
        else:
            rows = rows_of_version(client, to_beat, result=result, tracking_uri=tracking_uri)
            promotion = decide_promotion(
                without_names(result.records), rows, champion=str(to_beat.version)
            )
        version = _add_version(client, folder, name=name, result=result, promotion=promotion)
        if promotion.is_champion:
            crown(client, name, version=version, why=promotion.reason)
        else:
            client.set_registered_model_alias(name, CHALLENGER, version)
    _logger.info("%s version %s: %s", name, version, promotion.reason)
    return Registration(name=name, version=version, promotion=promotion)


def _add_version(
    client: "MlflowClient", folder: Path, *, name: str, result: HeldOutResult, promotion: Promotion
) -> str:
    """Store the folder and its rows in a run of their own, and return the version's number."""
    import mlflow  # noqa: PLC0415

    dice = summarise(result.records).overall.metrics.get("dice")
    preprocessing = read_preprocessing(folder)
    tags = {
        "config_hash": str(preprocessing.get("config_hash")),
        "manifest_hash": result.corpus.manifest.content_hash,
        "protocol": result.protocol,
        "mean_dice": f"{result.mean_dice:.6f}",
        "dice_lower": "nan" if dice is None else f"{dice.lower:.6f}",
        "num_rows": str(len(result.records)),
        "decision": promotion.reason,
    }
    experiment_id = _experiment(client, mlflow.get_tracking_uri())
    run = mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=tags)
    try:
        mlflow.log_metric("mean_dice", result.mean_dice)
        keep_records(client, run.info.run_id, rows=result.records, name=result.records_file)
        version = _log_version(folder, name=name, kind=preprocessing["kind"])
    except BaseException:
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run()
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    return version


def _log_version(folder: Path, *, name: str, kind: str) -> str:
    """Store the folder as a pyfunc in the active run, register it and return the version."""
    with warnings.catch_warnings():
        # MLflow warns about type hints of its own classes when its pyfunc is imported.
        warnings.filterwarnings("ignore", message=".*type hint", category=UserWarning)
        import mlflow.pyfunc  # noqa: PLC0415

        logged = mlflow.pyfunc.log_model(
            name="deployable",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"deployable": str(folder.resolve())},
            signature=_signature(kind),
            input_example=_input_example(kind),
            pip_requirements=list(PYFUNC_REQUIREMENTS),
            registered_model_name=name,
        )
    return str(logged.registered_model_version)


def _experiment(client: "MlflowClient", tracking_uri: str) -> str:
    """Return the experiment of deployables; a local database keeps their files beside itself."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    database, location = local_database(tracking_uri), None
    if database is not None:
        location = (database.parent / "mlartifacts" / EXPERIMENT).as_uri()
    return client.create_experiment(EXPERIMENT, artifact_location=location)


def _input_example(kind: str) -> dict[str, Any]:
    """Return one grey image, and one click where it is asked with any (see `pyfunc_model`)."""
    import numpy as np  # noqa: PLC0415

    if kind == "automatic":
        return {"images": np.zeros((1, 16, 16, 3), dtype=np.uint8)}
    return {
        "images": np.zeros((1, 16, 16, 3), dtype=np.uint8),
        "image_index": np.zeros(1, dtype=np.int64),
        "points": np.full((1, 1, 2), 8.0),
        "point_labels": np.ones((1, 1), dtype=np.int64),
    }


def _signature(kind: str) -> Any:  # noqa: ANN401 -- a class of MLflow, which is imported here only
    """Return the tensors that `pyfunc_model` takes and gives; -1 stands for any length."""
    import numpy as np  # noqa: PLC0415
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types.schema import ColSpec, Schema, TensorSpec  # noqa: PLC0415

    images = TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3), "images")
    if kind == "automatic":
        outputs: list[ColSpec | TensorSpec] = [
            TensorSpec(np.dtype(np.uint8), (-1, -1, -1, -1), "masks"),
            TensorSpec(np.dtype(np.uint8), (-1, -1, -1), "label_map"),
            TensorSpec(np.dtype(np.float32), (-1, -1), "presence"),
        ]
        return ModelSignature(inputs=Schema([images]), outputs=Schema(outputs))
    inputs: list[ColSpec | TensorSpec] = [
        images,
        TensorSpec(np.dtype(np.int64), (-1,), "image_index"),
        TensorSpec(np.dtype(np.float64), (-1, -1, 2), "points"),
        TensorSpec(np.dtype(np.int64), (-1, -1), "point_labels"),
    ]
    masks = TensorSpec(np.dtype(np.uint8), (-1, -1, -1), "masks")
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([masks]))
