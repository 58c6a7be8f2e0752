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
    from .config import BootstrapOptions, EvaluateConfig, ScoringOptions
    from .deployable import ExportedDeployable, HeldOut, ModelOrigin, export_deployable
    from .deployable_config import ExportConfig, GateConfig, PredictConfig
    from .deployable_folder import WEIGHTS_FOLDER, check_destination
    from .deployable_predictor import DeployablePredictor
    from .evaluate import (
        EvaluationOptions,
        EvaluationPlan,
        answer_questions,
        evaluate_corpus,
        plan_questions,
        questions_about,
    )
    from .evaluation_job import EvaluationResult, run_evaluation
    from .image_prompt import ImagePrompt
    from .image_segmentation import segment_image_file
    from .model_comparison import (
        ModelComparison,
        compare_models,
        comparison_table,
        write_comparison,
    )
    from .model_opening import opened_predictor
    from .overlays import PREDICTION_COLOUR, REFERENCE_COLOUR, draw_outline
    from .prediction import SegmenterPredictor
    from .predictor import CategoryAnswers, Predictor
    from .promotion import HeldOutResult
    from .protocols import AUTOMATIC_PROTOCOL, PROTOCOLS
    from .records import EvaluationRecord, gather_records, read_records, write_records
    from .registry import Registration, check_registry, pull_deployable, register_deployable
    from .summary import Stratum, Summary, summarise, summarise_each

_MODULE_OF_NAME = {
    "AUTOMATIC_PROTOCOL": "protocols",
    "BootstrapOptions": "config",
    "CategoryAnswers": "predictor",
    "DeployablePredictor": "deployable_predictor",
    "EvaluateConfig": "config",
    "EvaluationOptions": "evaluate",
    "EvaluationPlan": "evaluate",
    "EvaluationRecord": "records",
    "EvaluationResult": "evaluation_job",
    "ExportConfig": "deployable_config",
    "ExportedDeployable": "deployable",
    "GateConfig": "deployable_config",
    "HeldOut": "deployable",
    "HeldOutResult": "promotion",
    "ImagePrompt": "image_prompt",
    "Interval": "confidence_intervals",
    "ModelComparison": "model_comparison",
    "ModelOrigin": "deployable",
    "PREDICTION_COLOUR": "overlays",
    "PROTOCOLS": "protocols",
    "PairedDifference": "confidence_intervals",
    "PredictConfig": "deployable_config",
    "Predictor": "predictor",
    "REFERENCE_COLOUR": "overlays",
    "Registration": "registry",
    "ScoringOptions": "config",
    "SegmenterPredictor": "prediction",
    "Stratum": "summary",
    "Summary": "summary",
    "answer_questions": "evaluate",
    "bootstrap_mean": "confidence_intervals",
    "check_destination": "deployable_folder",
    "check_registry": "registry",
    "compare_models": "model_comparison",
    "comparison_table": "model_comparison",
    "draw_outline": "overlays",
    "evaluate_corpus": "evaluate",
    "export_deployable": "deployable",
    "gather_records": "records",
    "opened_predictor": "model_opening",
    "paired_bootstrap_difference": "confidence_intervals",
    "plan_questions": "evaluate",
    "pull_deployable": "registry",
    "questions_about": "evaluate",
    "read_records": "records",
    "register_deployable": "registry",
    "run_evaluation": "evaluation_job",
    "segment_image_file": "image_segmentation",
    "summarise": "summary",
    "summarise_each": "summary",
    "write_comparison": "model_comparison",
    "write_records": "records",
    "WEIGHTS_FOLDER": "deployable_folder",
}

__all__ = [
    "AUTOMATIC_PROTOCOL",
    "PREDICTION_COLOUR",
    "PROTOCOLS",
    "REFERENCE_COLOUR",
    "WEIGHTS_FOLDER",
    "BootstrapOptions",
    "CategoryAnswers",
    "DeployablePredictor",
    "EvaluateConfig",
    "EvaluationOptions",
    "EvaluationPlan",
    "EvaluationRecord",
    "EvaluationResult",
    "ExportConfig",
    "ExportedDeployable",
    "GateConfig",
    "HeldOut",
    "HeldOutResult",
    "ImagePrompt",
    "Interval",
    "ModelComparison",
    "ModelOrigin",
    "PairedDifference",
    "PredictConfig",
    "Predictor",
    "Registration",
    "ScoringOptions",
    "SegmenterPredictor",
    "Stratum",
    "Summary",
    "answer_questions",
    "bootstrap_mean",
    "check_destination",
    "check_registry",
    "compare_models",
    "comparison_table",
    "draw_outline",
    "evaluate_corpus",
    "export_deployable",
    "gather_records",
    "opened_predictor",
    "paired_bootstrap_difference",
    "plan_questions",
    "pull_deployable",
    "questions_about",
    "read_records",
    "register_deployable",
    "run_evaluation",
    "segment_image_file",
    "summarise",
    "summarise_each",
    "write_comparison",
    "write_records",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- whatever the name stands for
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
