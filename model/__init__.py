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
    from .conversion_config import ConversionConfig
    from .encoder_export import load_feature_extractor, write_encoder
    from .encoder_features import FeatureExtractor, feature_extractor
    from .flattened_checkpoint import write_flattened
    from .framing import Framing
    from .freezing import FreezingReport, freeze
    from .objective_config import ObjectiveConfig
    from .objectives import object_losses, presence_losses
    from .presets import PRESETS
    from .pretrained_weights import load_weights, tensors_to_store
    from .prompt_simulation import SimulatedPrompt, error_clicks, simulate_prompt
    from .prompts import ABSENT, ImageFeatures, MaskPrediction, Prompts
    from .samus import SamusSegmenter
    from .segmenter import Segmenter
    from .weights_conversion import Conversion, convert_weights
    from .weights_report import WeightsReport
    from .whole_files import is_without_room, why_not_written, written_aside

_MODULE_OF_NAME = {
    "ABSENT": "prompts",
    "ARCHITECTURE": "checkpoint_folder",
    "AVERAGED_WEIGHTS": "checkpoint_folder",
    "Architecture": "config",
    "AutosamusArchitecture": "autosamus_config",
    "BEST": "checkpoint_folder",
    "BaseFile": "checkpoint_folder",
    "COMPLETE": "checkpoint_folder",
    "Conversion": "weights_conversion",
    "ConversionConfig": "conversion_config",
    "FeatureExtractor": "encoder_features",
    "Framing": "framing",
    "FreezingReport": "freezing",
    "ImageFeatures": "prompts",
    "MaskPrediction": "prompts",
    "ObjectiveConfig": "objective_config",
    "PRESETS": "presets",
    "PromptSimulationConfig": "config",
    "Prompts": "prompts",
    "STEP_FOLDER": "checkpoint_folder",
    "SamArchitecture": "config",
    "SamusArchitecture": "config",
    "SamusSegmenter": "samus",
    "Segmenter": "segmenter",
    "SimulatedPrompt": "prompt_simulation",
    "UnetArchitecture": "config",
    "WEIGHTS": "checkpoint_folder",
    "WeightsReport": "weights_report",
    "architecture_from_dict": "building",
    "architecture_to_dict": "building",
    "build_from_architecture": "building",
    "build_segmenter": "building",
    "convert_weights": "weights_conversion",
    "error_clicks": "prompt_simulation",
    "feature_extractor": "encoder_features",
    "find_checkpoint": "checkpoint_folder",
    "freeze": "freezing",
    "is_without_room": "whole_files",
    "load_feature_extractor": "encoder_export",
    "load_segmenter": "checkpoint_reading",
    "load_weights": "pretrained_weights",
    "object_losses": "objectives",
    "presence_losses": "objectives",
    "simulate_prompt": "prompt_simulation",
    "tensors_to_store": "pretrained_weights",
    "verify_complete": "checkpoint_folder",
    "why_not_written": "whole_files",
    "write_base_record": "checkpoint_folder",
    "write_complete_marker": "checkpoint_folder",
    "write_encoder": "encoder_export",
    "write_flattened": "flattened_checkpoint",
    "written_aside": "whole_files",
}

__all__ = [
    "ABSENT",
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
    "Conversion",
    "ConversionConfig",
    "FeatureExtractor",
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
    "convert_weights",
    "error_clicks",
    "feature_extractor",
    "find_checkpoint",
    "freeze",
    "is_without_room",
    "load_feature_extractor",
    "load_segmenter",
    "load_weights",
    "object_losses",
    "presence_losses",
    "simulate_prompt",
    "tensors_to_store",
    "verify_complete",
    "why_not_written",
    "write_base_record",
    "write_complete_marker",
    "write_encoder",
    "write_flattened",
    "written_aside",
]


def __getattr__(name: str) -> object:
    """Import the module that defines `name` and return the name from it."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)
