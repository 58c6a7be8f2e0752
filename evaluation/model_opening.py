"""From what a user calls a model to something that answers prompts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .deployable.folder import is_deployable
from .deployable.predictor import DeployablePredictor
from .predictor import Predictor
from .registry.rows import pull_deployable

REGISTRY_PREFIX = "models:/"


@contextmanager
def opened_predictor(
    model: str, *, tracking_uri: str, base: str | None = None
) -> Iterator[Predictor]:
    """Yield the predictor of a deployable, a registered model, a run or a checkpoint.

    Deployables and registered models are run by onnxruntime, and torch is not imported.

    Args:
        model: A folder, or `models:/NAME@champion`, which is downloaded for as long as it is used.
        tracking_uri: Where registered models are.
        base: File of frozen base weights, for a checkpoint whose base has moved.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folder is none of these, or is damaged.
    """
    if model.startswith(REGISTRY_PREFIX):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pull_deployable(model, tracking_uri=tracking_uri, destination=Path(scratch))
            yield DeployablePredictor(folder)
        return
    folder = Path(model)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"model={model}: there is no such folder. Give a run, checkpoint or deployable folder, "
            f"or {REGISTRY_PREFIX}NAME@champion."
        )
    if is_deployable(folder):
        yield DeployablePredictor(folder)
        return
    from model import load_segmenter  # noqa: PLC0415 -- torch

    from .prediction import SegmenterPredictor  # noqa: PLC0415 -- torch

    yield SegmenterPredictor(load_segmenter(folder, base=None if base is None else Path(base)))
