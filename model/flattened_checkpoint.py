"""Writes a segmenter whole, so that it depends on no other file."""

import json
from pathlib import Path

from safetensors.torch import save_file

from .building import architecture_to_dict
from .checkpoint_folder import ARCHITECTURE, WEIGHTS, write_complete_marker
from .segmenter import Segmenter
from .whole_files import written_aside


def write_flattened(segmenter: Segmenter, folder: Path, *, preset: str | None = None) -> None:
    """Write a checkpoint folder with every tensor in it: for outsiders, or as another run's base.

    `load_segmenter` and `load_weights` read it like any checkpoint; no base file is needed, and
    there is nothing to resume from.

    Args:
        segmenter: Unwrapped, with its weights whole on this rank.
        folder: Must not exist yet; it appears when all is written.
        preset: Name of the preset, for people.

    Raises:
        OSError: The disk is full or not writable. What was written is removed.
    """
    if folder.exists():
        raise FileExistsError(f"{folder}: is there already. Remove it or choose another name.")
    description = json.dumps(architecture_to_dict(segmenter, preset=preset), indent=2)
    tensors = {name: value.cpu().contiguous() for name, value in segmenter.state_dict().items()}
    with written_aside(folder) as aside:
        aside.mkdir()
        (aside / ARCHITECTURE).write_text(f"{description}\n", encoding="utf-8")
        save_file(tensors, aside / WEIGHTS)
        write_complete_marker(aside)
