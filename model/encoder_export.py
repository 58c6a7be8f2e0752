"""An image encoder on disk: its weights, and a description that says what its features are."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from .building import architecture_to_dict, build_from_architecture
from .checkpoint_folder import read_json
from .checkpoint_reading import load_segmenter
from .encoder_features import FeatureExtractor, feature_extractor
from .segmenter import Segmenter
from .tensor_file import read_tensors
from .whole_files import written_aside

DESCRIPTION = "encoder.json"
ENCODER_WEIGHTS = "encoder.safetensors"


def write_encoder(segmenter: Segmenter, folder: Path, *, preset: str | None = None) -> None:
    """Write a segmenter's image encoder as a folder of two files.

    Args:
        segmenter: A relative of SAM, with its weights whole on this rank.
        folder: Must not exist yet; it appears when all is written.
        preset: Name of the preset, for people.

    Raises:
        OSError: The disk is full or not writable. What was written is removed.
    """
    if folder.exists():
        raise FileExistsError(f"{folder}: is there already. Remove it or choose another name.")
    extractor = feature_extractor(segmenter)
    description = {
        "architecture": architecture_to_dict(segmenter, preset=preset),
        "stages": [asdict(stage) for stage in extractor.feature_info.stages],
    }
    tensors = {
        name: value.cpu().contiguous()
        for name, value in extractor.image_encoder.state_dict().items()
    }
    with written_aside(folder) as aside:
        aside.mkdir()
        text = json.dumps(description, indent=2) + "\n"
        (aside / DESCRIPTION).write_text(text, encoding="utf-8")
        save_file(tensors, aside / ENCODER_WEIGHTS)


def load_feature_extractor(
    folder: str | Path, *, out_indices: Sequence[int] | None = None
) -> FeatureExtractor:
    """Return an encoder with its weights, in evaluation mode and on the CPU.

    Args:
        folder: What `write_encoder` wrote, or a checkpoint or run folder.
        out_indices: Which stages to return; all by default.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        return feature_extractor(load_segmenter(folder), out_indices=out_indices).eval()
    architecture = read_json(folder / DESCRIPTION).get("architecture")
    if not isinstance(architecture, dict):
        raise ValueError(f"{folder / DESCRIPTION}: has no `architecture`. Write the folder again.")
    extractor = feature_extractor(build_from_architecture(architecture), out_indices=out_indices)
    extractor.image_encoder.load_state_dict(read_tensors(folder / ENCODER_WEIGHTS))
    return extractor.eval()
