"""The MLflow registry: deployables as versions of a model, the best one under `champion`.

A version becomes champion when there is none, or when it beats the champion on the same held-out
corpus: the lower bound of the paired bootstrap of the mean Dice difference is above 0. A champion
that was never measured on that corpus is measured first. Every other version stays a plain one, and
its tags say why. MLflow is imported where it is used: it costs more than a second.
"""

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shards import Corpus

from .confidence_intervals import paired_bootstrap_difference
from .deployable_folder import PREPROCESSING_FILE, RUNTIME_REQUIREMENTS
from .deployable_predict import read_preprocessing, verify_checksums
from .deployable_predictor import DeployablePredictor
from .evaluate import evaluate_corpus
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

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HeldOutResult:
    """What a deployable reached on a held-out corpus."""

    corpus: Corpus
    protocol: str
    records: Sequence[EvaluationRecord]

    @property
    def records_file(self) -> str:
        """Name under which the rows are kept with a version, the same for the same question."""
        digest = self.corpus.manifest.content_hash.removeprefix("sha256:")[:16]
        return f"records-{digest}-{self.protocol}.parquet"

    @property
    def mean_dice(self) -> float:
        """Mean over the rows that could be measured."""
        measured = [row.dice for row in self.records if math.isfinite(row.dice)]
        return math.fsum(measured) / len(measured) if measured else math.nan


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """Whether a version becomes champion, and why."""

    is_champion: bool
    reason: str


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
            promotion = decide_promotion(result.records, rows, champion=champion.version)
        version = _add_version(client, folder, name=name, result=result, promotion=promotion)
        if promotion.is_champion:
            client.set_registered_model_alias(name, CHAMPION, version)
    _logger.info("%s version %s: %s", name, version, promotion.reason)
    return Registration(name=name, version=version, promotion=promotion)


def decide_promotion(
    challenger: Sequence[EvaluationRecord], champion_rows: Sequence[EvaluationRecord], *, champion: str
) -> Promotion:
    """Say whether the challenger beats the champion beyond chance, and put it into words.

    Args:
        challenger: Rows of the new version.
        champion_rows: Rows of the present champion on the same corpus and protocol.
        champion: Its version, for the words.
    """
    paired = paired_bootstrap_difference(challenger, champion_rows)
    difference = paired.difference
    figures = (
        f"mean Dice difference {difference.mean:+.4f} "
        f"[{difference.lower:+.4f}, {difference.upper:+.4f}] on {difference.num_rows} objects"
    )
    if paired.num_only_in_first or paired.num_only_in_second:
        return Promotion(
            is_champion=False,
            reason=f"not comparable with champion version {champion}: "
            f"{paired.num_only_in_first + paired.num_only_in_second} objects have one row only",
        )
    if difference.lower > 0:
        return Promotion(is_champion=True, reason=f"beats version {champion}: {figures}")
    if math.isnan(difference.lower):
        return Promotion(
            is_champion=False,
            reason=f"cannot be told from champion version {champion}: {figures}; an interval needs "
            "at least two subjects",
        )
    return Promotion(
        is_champion=False,
        reason=f"does not beat champion version {champion}: {figures}; the lower bound must be "
        "above 0",
    )


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
            f"{reference} at {tracking_uri} holds no deployable of samuspretrain. Register one with "
            "launchers/export_deployable.py register_as=NAME."
        )
    return found[0].parent


@contextmanager
def _registry(tracking_uri: str) -> Iterator["MlflowClient"]:
    """Yield a client of the registry; MLflow's errors become ours, with the address in them."""
    _check_address(tracking_uri)
    import mlflow  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

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
