"""How the MLflow registry is reached: checked first, with errors that name the address.

MLflow is imported where it is used: it costs more than a second.
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_SQLITE_MAGIC = b"SQLite format 3\0"


@contextmanager
def open_registry(tracking_uri: str) -> Iterator["MlflowClient"]:
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
    database = local_database(tracking_uri)
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


def local_database(tracking_uri: str) -> Path | None:
    """Return the file of a local database, or None for a server."""
    prefix = "sqlite:///"
    if not tracking_uri.startswith(prefix):
        return None
    return Path(tracking_uri.removeprefix(prefix)).absolute()


def champion_of(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the version under the alias, or None if there is no model or no alias yet."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return client.get_model_version_by_alias(name, "champion")
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
