"""A base that is a run or a checkpoint: copied whole into the run folder.

The run then depends on that one file alone, and no checkpoint names a base that has another base
below it.
"""

import dataclasses
import logging
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from model import PRESETS, AutosamusArchitecture, load_segmenter, written_aside

from .checkpoint import step_folders
from .config import PretrainConfig
from .process_group import ProcessGroup
from .run_folder.folder import RunFolder

FLATTENED_BASE = "base.safetensors"
"""Name of the copy; it lies in the run folder itself, where a checkpoint's reader looks for it."""

_SOURCE = "copied_from"

_logger = logging.getLogger(__name__)


def with_flattened_base(
    config: PretrainConfig, *, folder: RunFolder, group: ProcessGroup
) -> PretrainConfig:
    """Return the options with the copy as `model.base`, where a folder was given (collective).

    A run that has a checkpoint keeps the copy that it began with, whatever became of the folder
    since; so it goes on as it was.

    Raises:
        ValueError: The run began with the weights of another folder.
    """
    base = config.model.base
    if base is None or not isinstance(PRESETS.get(config.model.preset), AutosamusArchitecture):
        return config
    found = group.on_main(lambda: _find_or_copy(base, folder=folder))
    return dataclasses.replace(config, model=dataclasses.replace(config.model, base=found))


def _find_or_copy(base: str, *, folder: RunFolder) -> str:
    copy = folder.path / FLATTENED_BASE
    if step_folders(folder.checkpoints) and copy.is_file():
        source = _source_of(copy)
        if source != base:
            raise ValueError(
                f"{folder.path} was begun with the weights of {source}, which it keeps; now "
                f"{base} is given. Begin anew with run.fresh=true, or start another run "
                "(run.name=NAME)."
            )
        return str(copy)
    if not Path(base).is_dir():
        return base
    state = load_segmenter(base).state_dict()
    tensors = {name: value.contiguous() for name, value in state.items()}
    with written_aside(copy) as aside:
        save_file(tensors, aside, metadata={_SOURCE: base})
    _logger.info("%s: copied whole from %s.", copy, base)
    return str(copy)


def _source_of(copy: Path) -> str | None:
    with safe_open(copy, framework="pt") as tensors:
        return (tensors.metadata() or {}).get(_SOURCE)
