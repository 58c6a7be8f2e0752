"""Tensors in, tensors out: the segmenters, their weights and their objectives.

Names are imported when they are first used, so that reading a configuration does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .autosamus_config import AutosamusArchitecture
    from .building import (
        architecture_from_dict,
        architecture_to_dict,
        build_from_architecture,
        build_segmenter,
    )
    from .checkpoint_folder import (
        ARCHITECTURE,
        AVERAGED_WEIGHTS,
        BEST,
        COMPLETE,
        STEP_FOLDER,
        WEIGHTS,
        BaseFile,
        find_checkpoint,
        verify_complete,
        write_base_record,
        write_complete_marker,
    )
    from .checkpoint_reading import load_segmenter
    from .config import (
        Architecture,
        PromptSimulationConfig,
        SamArchitecture,
        SamusArchitecture,
        UnetArchitecture,
    )
    from .flattened_checkpoint import write_flattened
    from .framing import Framing
    from .freezing import FreezingReport, freeze
    from .objective_config import ObjectiveConfig
    from .objectives import object_losses, presence_losses
    from .presets import PRESETS
    from .pretrained_weights import load_weights, tensors_to_store
    from .prompt_simulation import SimulatedPrompt, error_clicks, simulate_prompt
    from .prompts import ImageFeatures, MaskPrediction, Prompts
    from .samus import SamusSegmenter
    from .segmenter import Segmenter
    from .weights_report import WeightsReport

_MODULE_OF_NAME = {
    "ARCHITECTURE": "checkpoint_folder",
    "AVERAGED_WEIGHTS": "checkpoint_folder",
    "BEST": "checkpoint_folder",
    "COMPLETE": "checkpoint_folder",
    "STEP_FOLDER": "checkpoint_folder",
    "WEIGHTS": "checkpoint_folder",
    "Architecture": "config",
    "AutosamusArchitecture": "autosamus_config",
    "BaseFile": "checkpoint_folder",
    "Framing": "framing",
    "FreezingReport": "freezing",
    "ImageFeatures": "prompts",
    "MaskPrediction": "prompts",
    "ObjectiveConfig": "objective_config",
    "PRESETS": "presets",
    "PromptSimulationConfig": "config",
    "Prompts": "prompts",
    "SamArchitecture": "config",
    "SamusArchitecture": "config",
    "SamusSegmenter": "samus",
    "Segmenter": "segmenter",
    "SimulatedPrompt": "prompt_simulation",
    "UnetArchitecture": "config",
    "WeightsReport": "weights_report",
    "architecture_from_dict": "building",
    "architecture_to_dict": "building",
    "build_from_architecture": "building",
    "build_segmenter": "building",
    "error_clicks": "prompt_simulation",
    "find_checkpoint": "checkpoint_folder",
    "freeze": "freezing",
    "load_segmenter": "checkpoint_reading",
    "load_weights": "pretrained_weights",
    "object_losses": "objectives",
    "presence_losses": "objectives",
    "simulate_prompt": "prompt_simulation",
    "tensors_to_store": "pretrained_weights",
    "verify_complete": "checkpoint_folder",
    "write_base_record": "checkpoint_folder",
    "write_complete_marker": "checkpoint_folder",
    "write_flattened": "flattened_checkpoint",
}

__all__ = [
    "ARCHITECTURE",
    "AVERAGED_WEIGHTS",
    "BEST",
    "COMPLETE",
    "PRESETS",
    "STEP_FOLDER",
    "WEIGHTS",
    "Architecture",
    "AutosamusArchitecture",
    "BaseFile",
    "Framing",
    "FreezingReport",
    "ImageFeatures",
    "MaskPrediction",
    "ObjectiveConfig",
    "PromptSimulationConfig",
    "Prompts",
    "SamArchitecture",
    "SamusArchitecture",
    "SamusSegmenter",
    "Segmenter",
    "SimulatedPrompt",
    "UnetArchitecture",
    "WeightsReport",
    "architecture_from_dict",
    "architecture_to_dict",
    "build_from_architecture",
    "build_segmenter",
    "error_clicks",
    "find_checkpoint",
    "freeze",
    "load_segmenter",
    "load_weights",
    "object_losses",
    "presence_losses",
    "simulate_prompt",
    "tensors_to_store",
    "verify_complete",
    "write_base_record",
    "write_complete_marker",
    "write_flattened",
]


def __getattr__(name: str) -> object:
    """Import the module that defines `name` and return the name from it."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)
