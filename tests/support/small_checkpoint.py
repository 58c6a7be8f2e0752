"""A checkpoint folder with a tiny model of random weights."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from model import architecture_to_dict, build_segmenter, tensors_to_store, write_complete_marker


def write_checkpoint(
    folder: Path, preset: str = "samus_tiny", *, is_broken: bool = False, **overrides: Any
) -> Path:
    """Write the checkpoint, always with the same weights, and return its folder.

    Args:
        folder: Made here.
        preset: Of the model.
        is_broken: Some weights are NaN.
        overrides: Of the preset.
    """
    torch.manual_seed(0)
    segmenter = build_segmenter(preset, **overrides)
    if is_broken:
        next(segmenter.parameters()).detach().fill_(math.nan)
    folder.mkdir(parents=True)
    (folder / "architecture.json").write_text(json.dumps(architecture_to_dict(segmenter)))
    save_file(tensors_to_store(segmenter), folder / "weights.safetensors")
    write_complete_marker(folder)
    return folder
