"""Tensors in, tensors out: the segmenters, their weights and their objectives.

Names are imported when they are first used, so that reading a configuration does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .building import (
        architecture_from_dict,
        architecture_to_dict,
        build_from_architecture,
        build_segmenter,
    )
    from .config import (
        Architecture,
        ObjectiveConfig,
        PromptSimulationConfig,
        SamArchitecture,
        SamusArchitecture,
        UnetArchitecture,
    )
    from .framing import Framing
    from .freezing import FreezingReport, freeze
    from .presets import PRESETS
    from .prompts import ImageFeatures, MaskPrediction, Prompts
    from .segmenter import Segmenter

_MODULE_OF_NAME = {
    "Architecture": "config",
    "Framing": "framing",
    "FreezingReport": "freezing",
    "ImageFeatures": "prompts",
    "MaskPrediction": "prompts",
    "ObjectiveConfig": "config",
    "PRESETS": "presets",
    "PromptSimulationConfig": "config",
    "Prompts": "prompts",
    "SamArchitecture": "config",
    "SamusArchitecture": "config",
    "Segmenter": "segmenter",
    "UnetArchitecture": "config",
    "architecture_from_dict": "building",
    "architecture_to_dict": "building",
    "build_from_architecture": "building",
    "build_segmenter": "building",
    "freeze": "freezing",
}

__all__ = [
    "PRESETS",
    "Architecture",
    "Framing",
    "FreezingReport",
    "ImageFeatures",
    "MaskPrediction",
    "ObjectiveConfig",
    "PromptSimulationConfig",
    "Prompts",
    "SamArchitecture",
    "SamusArchitecture",
    "Segmenter",
    "UnetArchitecture",
    "architecture_from_dict",
    "architecture_to_dict",
    "build_from_architecture",
    "build_segmenter",
    "freeze",
]


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` and return the name from it."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)
