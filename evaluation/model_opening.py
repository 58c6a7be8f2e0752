"""From what a user calls a model to something that answers prompts."""

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from .deployable.folder import is_deployable
from .deployable.predictor import DeployablePredictor
from .predictor import Predictor
from .registry.rows import pull_deployable

REGISTRY_PREFIX = "models:/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a model runs."""

    base: str | None = None
    """File of frozen base weights, for a checkpoint whose base has moved."""

    form: str | None = None
    """Form of a deployable; None takes its first."""

    threads: int | None = None
    """Of torch or onnxruntime; None leaves it to them."""

    device: str = "auto"
    """Of a checkpoint: `auto` takes a GPU where there is one."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of a checkpoint."""

    batch_size: int = 8
    """Images that a checkpoint encodes at once."""


DEFAULT_OPTIONS = ModelOptions()


@contextmanager
def opened_predictor(
    model: str, *, tracking_uri: str, options: ModelOptions = DEFAULT_OPTIONS
) -> Iterator[Predictor]:
    """Yield the predictor of a deployable, a registered model, a run or a checkpoint.

    Deployables and registered models are run by onnxruntime, and torch is not imported.

    Args:
        model: A folder, or `models:/NAME@champion`, which is downloaded for as long as it is used.
        tracking_uri: Where registered models are.
        options: How the model runs.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folder is none of these, or is damaged.
    """
    if model.startswith(REGISTRY_PREFIX):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pull_deployable(model, tracking_uri=tracking_uri, destination=Path(scratch))
            yield open_predictor(folder, options=options)
        return
    if not Path(model).is_dir():
        raise FileNotFoundError(
            f"model={model}: there is no such folder. Give a run, checkpoint or deployable folder, "
            f"or {REGISTRY_PREFIX}NAME@champion."
        )
    yield open_predictor(Path(model), options=options)


def open_predictor(folder: Path, *, options: ModelOptions = DEFAULT_OPTIONS) -> Predictor:
    """Open a deployable, or a run or checkpoint folder; errors as `opened_predictor`."""
    if is_deployable(folder):
        return DeployablePredictor(folder, form=options.form, num_threads=options.threads)
    if options.form is not None:
        raise ValueError(
            f"form={options.form} is for deployables, and {folder} is a run or a checkpoint. Leave "
            "it out, or export the checkpoint in that form."
        )
    import torch  # noqa: PLC0415 -- a deployable is opened without it

    from model import load_segmenter  # noqa: PLC0415 -- torch

    from .prediction import SegmenterPredictor  # noqa: PLC0415 -- torch

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return SegmenterPredictor(
        load_segmenter(folder, base=None if options.base is None else Path(options.base)),
        device=usable_device(options.device),
        batch_size=options.batch_size,
        precision=options.precision,
    )


def usable_device(name: str) -> str:
    """Return the device's name if tensors can be put on it; `auto` is a GPU where there is one.

    Raises:
        ValueError: The device cannot be used.
    """
    import torch  # noqa: PLC0415

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={name}: cannot be used ({reason}). Give device=cpu, or a GPU that is there."
        ) from error
    return name
