"""The stages of a chain of Slurm jobs, and the command line of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation import EvaluateConfig, ExportConfig, RegisterConfig
from pipeline.config import PretrainConfig, TrackingConfig
from pipeline.options import load_config
from pipeline.prompt_generator_config import PromptGeneratorConfig
from pipeline.refusal import refuse_unless

from .config import StageConfig, SubmitConfig


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of job."""

    launcher: str
    """Module of its command."""

    schema: type[Any]
    """Options of its command."""

    presets: str | None
    """Folder of its presets below launchers/presets, or None for a command without."""

    settings: Callable[[SubmitConfig], StageConfig]
    run: Callable[[SubmitConfig, str], Path]
    """The run that it writes or reads, in the chain of that name."""

    words: Callable[[SubmitConfig, str], list[str | None]]
    """What the chain of that name tells the command; None is left out."""

    is_distributed: bool = True
    """Whether it runs as one process for each GPU, on all machines."""


def _first_run(config: SubmitConfig, name: str) -> Path:
    return Path(config.root) / name


def _generator_run(config: SubmitConfig, name: str) -> Path:
    return Path(config.root) / f"{name}_prompts"


def _last_run(config: SubmitConfig, name: str) -> Path:
    """Return the run that is measured and handed out."""
    is_generator = "prompt_generator" in config.stages
    return (_generator_run if is_generator else _first_run)(config, name)


def _deployable(config: SubmitConfig, name: str) -> Path:
    return _last_run(config, name) / "deployable"


def _training_words(config: SubmitConfig, run: Path) -> list[str | None]:
    return [
        f"run.name={run.name}",
        f"run.root={run.parent}",
        _option("data.train", config.train),
        _option("data.validation", config.validation),
        _option("tracking.uri", config.tracking_uri),
    ]


def _option(name: str, value: str | None) -> str | None:
    return None if value is None else f"{name}={value}"


STAGES: dict[str, Stage] = {
    "pretrain": Stage(
        launcher="launchers.pretrain",
        schema=PretrainConfig,
        presets="",
        settings=lambda config: config.pretrain,
        run=_first_run,
        words=lambda config, name: _training_words(config, _first_run(config, name)),
    ),
    "prompt_generator": Stage(
        launcher="launchers.train_prompt_generator",
        schema=PromptGeneratorConfig,
        presets="",
        settings=lambda config: config.prompt_generator,
        run=_generator_run,
        words=lambda config, name: [
            *_training_words(config, _generator_run(config, name)),
            f"parent={_first_run(config, name)}",
        ],
    ),
    "evaluate": Stage(
        launcher="launchers.evaluate_checkpoint",
        schema=EvaluateConfig,
        presets="evaluation",
        settings=lambda config: config.evaluate,
        run=_last_run,
        words=lambda config, name: [
            f"checkpoint={_last_run(config, name)}",
            _option("data", config.test),
        ],
    ),
    "export": Stage(
        launcher="launchers.export_deployable",
        schema=ExportConfig,
        presets=None,
        settings=lambda config: config.export,
        run=_last_run,
        words=lambda config, name: [
            f"checkpoint={_last_run(config, name)}",
            _option("data", config.test),
            f"output={_deployable(config, name)}",
            "overwrite=true",
        ],
        is_distributed=False,
    ),
    "register": Stage(
        launcher="launchers.register_model",
        schema=RegisterConfig,
        presets=None,
        settings=lambda config: config.register,
        run=_last_run,
        words=lambda config, name: [
            _option("name", config.register_as),
            f"deployable={_deployable(config, name)}",
            _option("data", config.test),
            f"tracking_uri={TrackingConfig(uri=config.tracking_uri).address(Path(config.root))}",
        ],
        is_distributed=False,
    ),
}
"""In the order in which they wait for each other; `SubmitConfig.stages` chooses some."""


def chain_names(config: SubmitConfig) -> list[str]:
    """Return the name of each chain: one, or one for each set of the sweep."""
    return [f"{config.name}-{number}" for number in range(len(config.sweep))] or [config.name]


def command_words(config: SubmitConfig, *, stage: str, number: int, presets: Path) -> list[str]:
    """Return the options of a stage's command, checked as the command itself would.

    Args:
        config: The chain.
        stage: Name of a stage.
        number: Which chain of the sweep; 0 without one.
        presets: launchers/presets.

    Raises:
        ValueError: An option does not fit; the message names the stage.
    """
    known = STAGES[stage]
    num_nodes = known.settings(config).nodes
    refuse_unless(
        known.is_distributed or num_nodes == 1,
        f"{stage}.nodes",
        num_nodes,
        "1, as several would each run the whole command into one folder",
    )
    swept = config.sweep[number] if config.sweep and stage == "pretrain" else []
    own: Sequence[str | None] = known.words(config, chain_names(config)[number])
    # What ties the stages together comes last, and so wins.
    words = [*known.settings(config).options, *swept, *(word for word in own if word is not None)]
    try:
        folder = None if known.presets is None else presets / known.presets
        load_config(known.schema, words, presets=folder)
    except ValueError as error:
        raise ValueError(f"Stage {stage}: {error}") from error
    return words
