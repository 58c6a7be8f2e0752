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
    from .confidence_intervals import Interval, bootstrap_difference, bootstrap_mean
    from .config import BootstrapOptions, CompareConfig, EvaluateConfig, ScoringOptions
    from .demo.server import DemoServer
    from .deployable.config import ExportConfig, GateConfig
    from .deployable.export import ExportedDeployable, HeldOut, ModelOrigin, export_deployable
    from .deployable.folder import WEIGHTS_FOLDER, check_destination, sha256_of
    from .deployable.predictor import DeployablePredictor
    from .evaluate import evaluate_corpus
    from .evaluation_job import EvaluationResult, run_evaluation
    from .image_prompt import ImagePrompt
    from .model_comparison import ModelComparison, compare_models, comparison_tables
    from .model_opening import ModelOptions, opened_predictor, usable_device
    from .overlap import count_overlap
    from .paired_difference import (
        PairedDifference,
        overlap_differences,
        paired_bootstrap_difference,
    )
    from .prediction import SegmenterPredictor
    from .predictor import CategoryAnswers, Predictor
    from .protocols import AUTOMATIC_PROTOCOL, MORE_PROTOCOLS, PROTOCOLS
    from .questions import EvaluationOptions, EvaluationPlan, plan_questions, questions_about
    from .ranks import OneRank, OtherRankError, Ranks
    from .records import (
        EvaluationRecord,
        gather_records,
        read_records,
        read_records_table,
        write_records,
    )
    from .registry.client import check_registry
    from .registry.config import RegisterConfig
    from .registry.promotion import HeldOutResult
    from .registry.registration import Registration, register_deployable
    from .registry.rows import pull_deployable
    from .registry.standing import (
        champion_history,
        demote_champion,
        promote_version,
        roll_back,
    )
    from .reports.comparison import write_comparison
    from .reports.overlays import PREDICTION_COLOUR, REFERENCE_COLOUR, draw_outline
    from .reports.tables import Table, format_interval, markdown_table
    from .run_comparison import compare_runs
    from .segmentation.config import DemoConfig, PredictConfig
    from .segmentation.job import (
        SegmentationJob,
        SegmentedFile,
        plan_segmentation,
        segment_files,
        tables_of,
    )
    from .summary import Stratum, Summary, summarise, summarise_each, without_nan
    from .training_tiers import TrainedCorpus, refuse_seen, tiers_of, trained_corpora

_MODULE_OF_NAME = {
    "AUTOMATIC_PROTOCOL": "protocols",
    "BootstrapOptions": "config",
    "CLASSIFICATION_SCORES": "classification",
    "CategoryAnswers": "predictor",
    "ClassifiedImages": "classification",
    "CompareConfig": "config",
    "DemoConfig": "segmentation.config",
    "DemoServer": "demo.server",
    "DeployablePredictor": "deployable.predictor",
    "EvaluateConfig": "config",
    "EvaluationOptions": "questions",
    "EvaluationPlan": "questions",
    "EvaluationRecord": "records",
    "EvaluationResult": "evaluation_job",
    "ExportConfig": "deployable.config",
    "ExportedDeployable": "deployable.export",
    "GateConfig": "deployable.config",
    "HeldOut": "deployable.export",
    "HeldOutResult": "registry.promotion",
    "ImagePrompt": "image_prompt",
    "Interval": "confidence_intervals",
    "MORE_PROTOCOLS": "protocols",
    "ModelComparison": "model_comparison",
    "ModelOptions": "model_opening",
    "ModelOrigin": "deployable.export",
    "OneRank": "ranks",
    "OtherRankError": "ranks",
    "PREDICTION_COLOUR": "reports.overlays",
    "PROTOCOLS": "protocols",
    "PairedDifference": "paired_difference",
    "PredictConfig": "segmentation.config",
    "Predictor": "predictor",
    "REFERENCE_COLOUR": "reports.overlays",
    "Ranks": "ranks",
    "RegisterConfig": "registry.config",
    "Registration": "registry.registration",
    "ScoringOptions": "config",
    "SegmentationJob": "segmentation.job",
    "SegmentedFile": "segmentation.job",
    "SegmenterPredictor": "prediction",
    "Stratum": "summary",
    "Summary": "summary",
    "Table": "reports.tables",
    "TrainedCorpus": "training_tiers",
    "WEIGHTS_FOLDER": "deployable.folder",
    "answer_questions": "answers",
    "bootstrap_difference": "confidence_intervals",
    "bootstrap_mean": "confidence_intervals",
    "champion_history": "registry.standing",
    "check_destination": "deployable.folder",
    "check_registry": "registry.client",
    "classification_differences": "classification",
    "classification_intervals": "classification",
    "compare_models": "model_comparison",
    "compare_runs": "run_comparison",
    "comparison_tables": "model_comparison",
    "count_overlap": "overlap",
    "demote_champion": "registry.standing",
    "draw_outline": "reports.overlays",
    "evaluate_corpus": "evaluate",
    "export_deployable": "deployable.export",
    "format_interval": "reports.tables",
    "gather_records": "records",
    "markdown_table": "reports.tables",
    "opened_predictor": "model_opening",
    "overlap_differences": "paired_difference",
    "paired_bootstrap_difference": "paired_difference",
    "plan_questions": "questions",
    "plan_segmentation": "segmentation.job",
    "promote_version": "registry.standing",
    "pull_deployable": "registry.rows",
    "questions_about": "questions",
    "read_records": "records",
    "read_records_table": "records",
    "refuse_seen": "training_tiers",
    "register_deployable": "registry.registration",
    "roll_back": "registry.standing",
    "run_evaluation": "evaluation_job",
    "segment_files": "segmentation.job",
    "sha256_of": "deployable.folder",
    "summarise": "summary",
    "summarise_each": "summary",
    "tables_of": "segmentation.job",
    "tiers_of": "training_tiers",
    "trained_corpora": "training_tiers",
    "usable_device": "model_opening",
    "without_nan": "summary",
    "write_comparison": "reports.comparison",
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
    "ModelOptions",
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
    "TrainedCorpus",
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
    "overlap_differences",
    "paired_bootstrap_difference",
    "plan_questions",
    "plan_segmentation",
    "promote_version",
    "pull_deployable",
    "questions_about",
    "read_records",
    "read_records_table",
    "refuse_seen",
    "register_deployable",
    "roll_back",
    "run_evaluation",
    "segment_files",
    "sha256_of",
    "summarise",
    "summarise_each",
    "tables_of",
    "tiers_of",
    "trained_corpora",
    "usable_device",
    "without_nan",
    "write_comparison",
    "write_records",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- whatever the name stands for
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
