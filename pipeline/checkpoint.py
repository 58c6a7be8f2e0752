"""Writing and pruning a run's checkpoints. Reading the weights back is `model`'s.

A folder `step-00012000/` is written under another name, COMPLETE last, and renamed: whatever
interrupts it, the checkpoints before it stay as they were.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from model import (
    ARCHITECTURE,
    AVERAGED_WEIGHTS,
    BEST,
    COMPLETE,
    STEP_FOLDER,
    WEIGHTS,
    BaseFile,
    why_not_written,
    write_base_record,
    write_complete_marker,
)

from .run_folder.state import RunState

OPTIMIZER = "optimizer.safetensors"


@dataclass(frozen=True, kw_only=True)
class CheckpointTensors:
    """What a checkpoint holds of a model, whole and by the names of the unwrapped segmenter."""

    weights: Mapping[str, Tensor]
    """Trainable parameters and persistent buffers."""

    optimizer: Mapping[str, Tensor]
    """NAME.exp_avg and so on; empty before the first step."""

    average: Mapping[str, Tensor] | None
    """The moving average of the trainable parameters, where there is one."""


def write_checkpoint(
    checkpoints: Path, *, state: RunState, base: BaseFile | None, tensors: CheckpointTensors
) -> Path:
    """Write `step-NNNNNNNN` whole or not at all, and return its folder.

    Args:
        checkpoints: The run's `checkpoints/`.
        state: Where the run stands; its step names the folder.
        base: The file that holds the frozen weights, or none where the saved ones are all.
        tensors: On any device.

    Raises:
        OSError: The disk is full or not writable. What was written of this one is removed.
    """
    folder = step_folder(checkpoints, step=state.step)
    aside = folder.with_suffix(".partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        _write_json(aside / ARCHITECTURE, state.identity.architecture)
        _write_tensors(aside / WEIGHTS, tensors.weights)
        _write_tensors(aside / OPTIMIZER, tensors.optimizer)
        if tensors.average is not None:
            _write_tensors(aside / AVERAGED_WEIGHTS, tensors.average)
        if base is not None:
            write_base_record(aside, base=base)
        state.write(aside)
        write_complete_marker(aside)
        for path in (*aside.iterdir(), aside):
            _flush_to_disk(path)
        if folder.exists():  # a torn or repeated one of the same step
            shutil.rmtree(folder)
        aside.rename(folder)
        _flush_to_disk(checkpoints)
    except Exception as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise _explain(error, folder=folder) from error
    return folder


def step_folder(checkpoints: Path, *, step: int) -> Path:
    """Return where the checkpoint of a step lies, or would lie."""
    return checkpoints / f"step-{step:08d}"


def step_folders(checkpoints: Path) -> list[Path]:
    """Return the folders of checkpoints, whole or not, oldest first."""
    folders = [path for path in checkpoints.iterdir() if STEP_FOLDER.fullmatch(path.name)]
    return sorted(folders, key=lambda path: int(path.name.removeprefix("step-")))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read one of the files that `write_checkpoint` wrote."""
    return load_file(path)


def mark_best(checkpoints: Path, *, step: int) -> None:
    """Let `checkpoints/BEST` name the checkpoint of a step, if that is there and whole."""
    folder = step_folder(checkpoints, step=step)
    if not _is_complete(folder):
        return
    aside = checkpoints / f"{BEST}.partial"
    aside.write_text(folder.name + "\n", encoding="ascii")
    aside.replace(checkpoints / BEST)


def prune_checkpoints(checkpoints: Path, *, keep: int) -> None:
    """Delete all but the newest `keep` complete checkpoints and the best one."""
    marker = checkpoints / BEST
    best = marker.read_text(encoding="ascii").strip() if marker.is_file() else None
    complete = [folder for folder in step_folders(checkpoints) if _is_complete(folder)]
    for folder in complete[:-keep]:
        if folder.name != best:
            # Without its marker first, a half deleted folder can never pass for a whole one.
            (folder / COMPLETE).unlink()
            shutil.rmtree(folder)


def drop_partial_checkpoints(checkpoints: Path) -> None:
    """Delete what an earlier process left half written."""
    for folder in checkpoints.glob("*.partial"):
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink()


def _is_complete(folder: Path) -> bool:
    return (folder / COMPLETE).is_file()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path)


def _flush_to_disk(path: Path) -> None:
    """Make a file durable before the rename that makes it visible, or a folder's new entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: Exception, *, folder: Path) -> Exception:
    """Return an error that says what to do, if it is about the place."""
    refusal = why_not_written(error)
    if refusal is None:
        return error
    reason, remedy = refusal
    return OSError(
        f"{folder}: the checkpoint could not be written: {reason}. The checkpoints before it are "
        f"intact. {remedy} and start the same command again; it resumes from the last one."
    )
