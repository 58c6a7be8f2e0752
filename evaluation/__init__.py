"""Masks in, numbers with intervals out; and the small checkpoint that leaves the house.

Names are imported when they are first used, so that a command's `--help` never loads torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .confidence_intervals import (
        Interval,
        PairedDifference,
        bootstrap_mean,
        paired_bootstrap_difference,
    )
    from .config import BootstrapOptions, ScoringOptions
    from .evaluate import EvaluationOptions, evaluate_corpus
    from .image_prompt import ImagePrompt
    from .prediction import SegmenterPredictor
    from .predictor import Predictor
    from .protocols import AUTOMATIC_PROTOCOL, PROTOCOLS
    from .records import EvaluationRecord, gather_records, read_records, write_records
    from .summary import Stratum, Summary, summarise, summarise_each

_MODULE_OF_NAME = {
    "AUTOMATIC_PROTOCOL": "protocols",
    "BootstrapOptions": "config",
    "EvaluationOptions": "evaluate",
    "EvaluationRecord": "records",
    "ImagePrompt": "image_prompt",
    "Interval": "confidence_intervals",
    "PROTOCOLS": "protocols",
    "PairedDifference": "confidence_intervals",
    "Predictor": "predictor",
    "ScoringOptions": "config",
    "SegmenterPredictor": "prediction",
    "Stratum": "summary",
    "Summary": "summary",
    "bootstrap_mean": "confidence_intervals",
    "evaluate_corpus": "evaluate",
    "gather_records": "records",
    "paired_bootstrap_difference": "confidence_intervals",
    "read_records": "records",
    "summarise": "summary",
    "summarise_each": "summary",
    "write_records": "records",
}

__all__ = [
    "AUTOMATIC_PROTOCOL",
    "PROTOCOLS",
    "BootstrapOptions",
    "EvaluationOptions",
    "EvaluationRecord",
    "ImagePrompt",
    "Interval",
    "PairedDifference",
    "Predictor",
    "ScoringOptions",
    "SegmenterPredictor",
    "Stratum",
    "Summary",
    "bootstrap_mean",
    "evaluate_corpus",
    "gather_records",
    "paired_bootstrap_difference",
    "read_records",
    "summarise",
    "summarise_each",
    "write_records",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- whatever the name stands for
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
