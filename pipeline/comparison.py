"""A comparison: each model is pretrained, evaluated, and put beside the others.

FOLDER/
    options.json       what holds for every model; another comparison needs another folder
    steps.json         optimizer steps of each model
    runs/MODEL/        its pretraining
    reports/MODEL/     its evaluation; evaluated.json says of what
    comparison.md, comparison.json
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from evaluation import (
    PROTOCOLS,
    EvaluateConfig,
    EvaluationRecord,
    ModelComparison,
    compare_models,
    read_records,
    run_evaluation,
    write_comparison,
)
from model import COMPLETE, PRESETS, build_from_architecture, build_segmenter, find_checkpoint
from shards import open_corpus

from .comparison_config import ComparisonConfig
from .config import PretrainConfig
from .options import load_config
from .pretraining import pretrain
from .process_group import ProcessGroup, start_process_group
from .resume import checkpoint_to_resume
from .run_folder.state import read_run_state
from .session import RunResult

NUM_TIMED_STEPS = 12
"""Steps that a time budget is worked out from; the first half warms up."""

OBJECTS_OF_AN_AUTOMATIC_MODEL = 32
"""It is taught a category only where all objects of it are there; they cost it nothing."""

_MAY_CHANGE = ("run", "tracking", "checkpoint", "validation", "model")
"""Sections that do not say what is learned from what, or are each model's own."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ComparisonOutcome:
    """How a comparison ended."""

    exit_code: int
    """0, or that of the pretraining that was interrupted."""

    comparison: ModelComparison | None
    """None where it was interrupted, and on all ranks but rank 0."""


def run_comparison(config: ComparisonConfig, *, presets: Path) -> ComparisonOutcome:
    """Train, evaluate and compare, going on where the same command was interrupted (collective).

    Args:
        config: What is compared.
        presets: Folder of the pretraining's presets, for `training`.

    Raises:
        ValueError, OSError, RuntimeError: What the user can mend; the message says how.
    """
    _refuse_what_cannot_be_compared(config)
    shared = _load(config, config.models[0], presets=presets)
    group = start_process_group(shared.run, precision=shared.precision)
    group.on_main(lambda: _keep_options(config, shared=shared))
    results: dict[str, RunResult] = {}
    try:
        for model in config.models:
            max_steps = _steps_of(model, config=config, presets=presets, group=group)
            words = (f"run.max_steps={max_steps}",)
            results[model] = _train(_training(config, model, presets=presets, words=words))
    except _InterruptedError as interruption:
        return ComparisonOutcome(exit_code=interruption.exit_code, comparison=None)
    if not group.is_main:
        return ComparisonOutcome(exit_code=0, comparison=None)
    comparison = compare_models(
        {model: [_rows(model, result, config=config)] for model, result in results.items()},
        facts={model: _facts(result) for model, result in results.items()},
        reference=config.reference_model,
        bootstrap=config.intervals,
    )
    write_comparison(Path(config.folder), comparison)
    return ComparisonOutcome(exit_code=0, comparison=comparison)


class _InterruptedError(Exception):
    """A signal ended a pretraining, which has saved itself."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def _train(training: PretrainConfig) -> RunResult:
    result = pretrain(training)
    if result.exit_code:
        raise _InterruptedError(result.exit_code)
    return result


def _refuse_what_cannot_be_compared(config: ComparisonConfig) -> None:
    """Look at names and corpora now, and not after hours of training."""
    unknown = [model for model in config.models if model not in PRESETS]
    if unknown:
        raise ValueError(
            f"models={config.models}: there is no preset {unknown[0]!r}. Known are: "
            f"{', '.join(sorted(PRESETS))}."
        )
    if config.protocol not in PROTOCOLS:
        raise ValueError(
            f"protocol={config.protocol}: choose from {', '.join(PROTOCOLS)}; models without "
            "prompts are measured without."
        )
    open_corpus(config.test)


def _training(
    config: ComparisonConfig, model: str, *, presets: Path, words: Sequence[str] = ()
) -> PretrainConfig:
    """Return the pretraining of one model, which is the others' but for what it cannot do.

    Args:
        config: The comparison.
        model: One of its models.
        presets: Folder of the pretraining's presets.
        words: Further options, which win.
    """
    training = _load(config, model, presets=presets, words=words)
    if _is_automatic(model):
        training.data.max_objects_per_image = OBJECTS_OF_AN_AUTOMATIC_MODEL
    if training.objective.uses_predicted_iou and not _predicts_iou(model):
        training.objective.iou_weight = 0.0
    return training


def _load(
    config: ComparisonConfig, model: str, *, presets: Path, words: Sequence[str] = ()
) -> PretrainConfig:
    preset = [] if config.training is None else [f"preset={config.training}"]
    return load_config(
        PretrainConfig,
        [
            *preset,
            f"run.max_steps={config.max_steps or _NO_LIMIT}",
            "run.max_minutes=null",
            *config.options,
            f"data.train={json.dumps(config.train)}",
            f"data.validation={json.dumps(config.validation)}",
            f"run.name={model}",
            f"run.root={_runs(config)}",
            f"model.preset={model}",
            *words,
        ],
        presets=presets,
    )


_NO_LIMIT = 1_000_000_000
"""Steps, until a time budget has been turned into them."""


def _is_automatic(model: str) -> bool:
    return hasattr(PRESETS[model], "categories")


def _predicts_iou(model: str) -> bool:
    with torch.device("meta"):
        return build_segmenter(model).predicts_iou


def _runs(config: ComparisonConfig) -> Path:
    return Path(config.folder) / "runs"


def _keep_options(config: ComparisonConfig, *, shared: PretrainConfig) -> None:
    """Write down what all models share; refuse to go on with something else."""
    kept = {name: value for name, value in asdict(shared).items() if name not in _MAY_CHANGE}
    for name in ("micro_batch_size", "num_workers", "validation"):
        del kept["data"][name]
    budget = {"max_steps": config.max_steps, "max_minutes": config.max_minutes}
    corpora = {"test": config.test, "validation": config.validation, "protocol": config.protocol}
    present = {**kept, "seed": shared.run.seed, **budget, **corpora}
    present = json.loads(json.dumps(present))  # as it will be read back
    path = Path(config.folder) / "options.json"
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(name for name in present if before.get(name) != present[name])
        if changed:
            raise ValueError(
                f"{path}: this comparison was begun with other values of {', '.join(changed)} "
                f"({changed[0]} was {before.get(changed[0])}, is {present[changed[0]]}), and its "
                "models would no longer be trained alike. Give the values it was begun with, or "
                "another folder=."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_json(path, present)


def _steps_of(model: str, *, config: ComparisonConfig, presets: Path, group: ProcessGroup) -> int:
    """Return how long a model trains; a time budget is turned into steps once (collective)."""
    if config.max_steps is not None:
        return config.max_steps
    path = Path(config.folder) / "steps.json"
    known: dict[str, int] = group.on_main(
        lambda: json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    )
    if model in known:
        return known[model]
    assert config.max_minutes is not None
    seconds = _seconds_per_step(_training(config, model, presets=presets, words=_TIMED), group)
    steps = max(1, int(60 * config.max_minutes / seconds))
    _logger.info("%s: %.2f s a step, so %d steps.", model, seconds, steps)
    group.on_main(lambda: _write_json(path, {**known, model: steps}))
    return steps


_TIMED = (
    "run.fresh=true",
    f"run.max_steps={NUM_TIMED_STEPS}",
    f"run.log_every_steps={NUM_TIMED_STEPS // 2}",
    "data.validation=null",
    "tracking.enabled=false",
    "optimizer.schedule=constant",
    "optimizer.milestones=[]",
)


def _seconds_per_step(training: PretrainConfig, group: ProcessGroup) -> float:
    """Train some steps, in a run that is thrown away, and time the second half (collective)."""
    training.run.root = str(Path(training.run.root).with_name("timed"))
    result = _train(training)

    def seconds() -> float:
        *_, last = (row for row in result.folder.metrics.rows() if row.kind == "train")
        shutil.rmtree(result.folder.path)
        return training.data.global_batch_size / last.values["speed/images_per_second"]

    return group.on_main(seconds)


def _rows(model: str, result: RunResult, *, config: ComparisonConfig) -> list[EvaluationRecord]:
    """Return the rows of a model; measured again only where its checkpoint is another one."""
    run, report = result.folder.path, Path(config.folder) / "reports" / model
    checkpoint = find_checkpoint(run)
    marker = (checkpoint / COMPLETE).read_bytes()
    measured = {
        "checkpoint": checkpoint.name,
        "sha256": hashlib.sha256(marker).hexdigest(),
        "corpus": open_corpus(config.test).manifest.content_hash,
    }
    done = report / "evaluated.json"
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == measured:
        return read_records(report / "records.parquet")
    evaluation = run_evaluation(
        EvaluateConfig(
            checkpoint=str(run),
            data=config.test,
            protocols=[] if _is_automatic(model) else [config.protocol],
            output=str(report),
            model_name=model,
            intervals=config.intervals,
        )
    )
    assert evaluation is not None  # alone, this is the main process
    _write_json(done, measured)
    return evaluation.records


def _facts(result: RunResult) -> dict[str, str]:
    """Return the cells that say how a model came to be."""
    last = checkpoint_to_resume(result.folder.checkpoints)
    assert last is not None
    state = read_run_state(last)
    with torch.device("meta"):
        segmenter = build_from_architecture(state.identity.architecture)
    num_parameters = sum(weight.numel() for weight in segmenter.parameters())
    return {
        "parameters": f"{num_parameters:,}",
        "steps": f"{state.step}",
        "minutes": f"{state.elapsed_seconds / 60:.1f}",
    }


def _write_json(path: Path, content: object) -> None:
    aside = path.with_name(f"{path.name}.partial")
    aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)
