"""Masks in, numbers with intervals out; and the small checkpoint that leaves the house.

Names are imported when they are first used, so that a command's `--help` never loads torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers import answer_questions
    from .classification import (
        CLASSIFICATION_SCORES,
        ClassifiedImages,
        classification_differences,
        classification_intervals,
    )
    from .comparison_report import write_comparison
    from .confidence_intervals import Interval, bootstrap_difference, bootstrap_mean
    from .config import BootstrapOptions, CompareConfig, EvaluateConfig, ScoringOptions
    from .demo_server import DemoServer
    from .deployable import ExportedDeployable, HeldOut, ModelOrigin, export_deployable
    from .deployable_config import ExportConfig, GateConfig
    from .deployable_folder import WEIGHTS_FOLDER, check_destination, sha256_of
    from .deployable_predictor import DeployablePredictor
    from .evaluate import evaluate_corpus
    from .evaluation_job import EvaluationResult, run_evaluation
    from .image_prompt import ImagePrompt
    from .image_segmentation import (
        SegmentationJob,
        SegmentedFile,
        plan_segmentation,
        segment_files,
        tables_of,
    )
    from .model_comparison import ModelComparison, compare_models, comparison_tables
    from .model_opening import opened_predictor
    from .overlap import count_overlap
    from .overlays import PREDICTION_COLOUR, REFERENCE_COLOUR, draw_outline
    from .paired_difference import PairedDifference, paired_bootstrap_difference
    from .predict_config import DemoConfig, PredictConfig
    from .prediction import SegmenterPredictor
    from .predictor import CategoryAnswers, Predictor
    from .promotion import HeldOutResult
    from .protocols import AUTOMATIC_PROTOCOL, MORE_PROTOCOLS, PROTOCOLS
    from .questions import EvaluationOptions, EvaluationPlan, plan_questions, questions_about
    from .ranks import OneRank, OtherRankError, Ranks
    from .records import EvaluationRecord, gather_records, read_records, write_records
    from .registry import Registration, register_deployable
    from .registry_client import check_registry
    from .registry_config import RegisterConfig
    from .registry_rows import pull_deployable
    from .registry_standing import (
        champion_history,
        demote_champion,
        promote_version,
        roll_back,
    )
    from .report_tables import Table, format_interval, markdown_table
    from .run_comparison import compare_runs
    from .summary import Stratum, Summary, summarise, summarise_each

_MODULE_OF_NAME = {
    "AUTOMATIC_PROTOCOL": "protocols",
    "BootstrapOptions": "config",
    "CLASSIFICATION_SCORES": "classification",
    "CategoryAnswers": "predictor",
    "ClassifiedImages": "classification",
    "CompareConfig": "config",
    "DemoConfig": "predict_config",
    "DemoServer": "demo_server",
    "DeployablePredictor": "deployable_predictor",
    "EvaluateConfig": "config",
    "EvaluationOptions": "questions",
    "EvaluationPlan": "questions",
    "EvaluationRecord": "records",
    "EvaluationResult": "evaluation_job",
    "ExportConfig": "deployable_config",
    "ExportedDeployable": "deployable",
    "GateConfig": "deployable_config",
    "HeldOut": "deployable",
    "HeldOutResult": "promotion",
    "ImagePrompt": "image_prompt",
    "Interval": "confidence_intervals",
    "MORE_PROTOCOLS": "protocols",
    "ModelComparison": "model_comparison",
    "ModelOrigin": "deployable",
    "OneRank": "ranks",
    "OtherRankError": "ranks",
    "PREDICTION_COLOUR": "overlays",
    "PROTOCOLS": "protocols",
    "PairedDifference": "paired_difference",
    "PredictConfig": "predict_config",
    "Predictor": "predictor",
    "REFERENCE_COLOUR": "overlays",
    "Ranks": "ranks",
    "RegisterConfig": "registry_config",
    "Registration": "registry",
    "ScoringOptions": "config",
    "SegmentationJob": "image_segmentation",
    "SegmentedFile": "image_segmentation",
    "SegmenterPredictor": "prediction",
    "Stratum": "summary",
    "Summary": "summary",
    "Table": "report_tables",
    "WEIGHTS_FOLDER": "deployable_folder",
    "answer_questions": "answers",
    "bootstrap_difference": "confidence_intervals",
    "bootstrap_mean": "confidence_intervals",
    "champion_history": "registry_standing",
    "check_destination": "deployable_folder",
    "check_registry": "registry_client",
    "classification_differences": "classification",
    "classification_intervals": "classification",
    "compare_models": "model_comparison",
    "compare_runs": "run_comparison",
    "comparison_tables": "model_comparison",
    "count_overlap": "overlap",
    "demote_champion": "registry_standing",
    "draw_outline": "overlays",
    "evaluate_corpus": "evaluate",
    "export_deployable": "deployable",
    "format_interval": "report_tables",
    "gather_records": "records",
    "markdown_table": "report_tables",
    "opened_predictor": "model_opening",
    "paired_bootstrap_difference": "paired_difference",
    "plan_questions": "questions",
    "plan_segmentation": "image_segmentation",
    "promote_version": "registry_standing",
    "pull_deployable": "registry_rows",
    "questions_about": "questions",
    "read_records": "records",
    "register_deployable": "registry",
    "roll_back": "registry_standing",
    "run_evaluation": "evaluation_job",
    "segment_files": "image_segmentation",
    "sha256_of": "deployable_folder",
    "summarise": "summary",
    "summarise_each": "summary",
    "tables_of": "image_segmentation",
    "write_comparison": "comparison_report",
    "write_records": "records",
}

__all__ = [
    "AUTOMATIC_PROTOCOL",
    "CLASSIFICATION_SCORES",
    "MORE_PROTOCOLS",
    "PREDICTION_COLOUR",
    "PROTOCOLS",
    "REFERENCE_COLOUR",
    "WEIGHTS_FOLDER",
    "BootstrapOptions",
    "CategoryAnswers",
    "ClassifiedImages",
    "CompareConfig",
    "DemoConfig",
    "DemoServer",
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
    "OneRank",
    "OtherRankError",
    "PairedDifference",
    "PredictConfig",
    "Predictor",
    "Ranks",
    "RegisterConfig",
    "Registration",
    "ScoringOptions",
    "SegmentationJob",
    "SegmentedFile",
    "SegmenterPredictor",
    "Stratum",
    "Summary",
    "Table",
    "answer_questions",
    "bootstrap_difference",
    "bootstrap_mean",
    "champion_history",
    "check_destination",
    "check_registry",
    "classification_differences",
    "classification_intervals",
    "compare_models",
    "compare_runs",
    "comparison_tables",
    "count_overlap",
    "demote_champion",
    "draw_outline",
    "evaluate_corpus",
    "export_deployable",
    "format_interval",
    "gather_records",
    "markdown_table",
    "opened_predictor",
    "paired_bootstrap_difference",
    "plan_questions",
    "plan_segmentation",
    "promote_version",
    "pull_deployable",
    "questions_about",
    "read_records",
    "register_deployable",
    "roll_back",
    "run_evaluation",
    "segment_files",
    "sha256_of",
    "summarise",
    "summarise_each",
    "tables_of",
    "write_comparison",
    "write_records",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- whatever the name stands for
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
