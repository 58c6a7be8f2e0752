"""The stages of a chain of Slurm jobs, and the command line of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation import EvaluateConfig, ExportConfig

from .config import PretrainConfig, TrackingConfig
from .options import load_config
from .prompt_generator_config import PromptGeneratorConfig
from .slurm_config import StageConfig, SubmitConfig


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of job."""

    launcher: str
    """Module of its command."""

    schema: type[Any]
    """Options of its command."""

    settings: Callable[[SubmitConfig], StageConfig]
    words: Callable[[SubmitConfig, str], list[str | None]]
    """What the chain tells the command of the run of that name; None is left out."""

    trains: bool = False
    """Whether processes on all machines train together, save on a signal and go on later."""


def _in_training(config: SubmitConfig, name: str) -> list[str | None]:
    return [
        f"run.name={name}",
        f"run.root={config.root}",
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
        settings=lambda config: config.pretrain,
        words=_in_training,
        trains=True,
    ),
    "prompt_generator": Stage(
        launcher="launchers.train_prompt_generator",
        schema=PromptGeneratorConfig,
        settings=lambda config: config.prompt_generator,
        words=lambda config, name: [
            *_in_training(config, f"{name}_prompts"),
            f"parent={Path(config.root) / name}",
        ],
        trains=True,
    ),
    "evaluate": Stage(
        launcher="launchers.evaluate_checkpoint",
        schema=EvaluateConfig,
        settings=lambda config: config.evaluate,
        words=lambda config, name: [
            f"checkpoint={last_run(config, name)}",
            _option("data", config.test),
        ],
    ),
    "export": Stage(
        launcher="launchers.export_deployable",
        schema=ExportConfig,
        settings=lambda config: config.export,
        words=lambda config, name: [
            f"checkpoint={last_run(config, name)}",
            _option("data", config.test),
            f"output={last_run(config, name) / 'deployable'}",
            "overwrite=true",
            _option("register_as", config.register_as),
            f"tracking_uri={TrackingConfig(uri=config.tracking_uri).address(Path(config.root))}",
        ],
    ),
}
"""In the order in which they wait for each other; `SubmitConfig.stages` chooses some."""


def trained_run(config: SubmitConfig, *, stage: str, name: str) -> Path:
    """Return the folder of the run that a training stage writes."""
    return Path(config.root) / (f"{name}_prompts" if stage == "prompt_generator" else name)


def last_run(config: SubmitConfig, name: str) -> Path:
    """Return the run that is measured and handed out: the last one that the chain trains."""
    has_generator = "prompt_generator" in config.stages
    return trained_run(config, stage="prompt_generator" if has_generator else "pretrain", name=name)


def chain_names(config: SubmitConfig) -> list[str]:
    """Return the name of each chain: one, or one for each set of the sweep."""
    return [f"{config.name}-{number}" for number in range(len(config.sweep))] or [config.name]


def command_words(config: SubmitConfig, *, stage: str, number: int, presets: Path) -> list[str]:
    """Return the options of a stage's command, checked as the command itself would.

    Args:
        config: The chain.
        stage: Name of a stage.
        number: Which chain of the sweep; 0 without one.
        presets: Folder of the pretraining's presets.

    Raises:
        ValueError: An option does not fit; the message names the stage.
    """
    known = STAGES[stage]
    swept = config.sweep[number] if config.sweep and stage == "pretrain" else []
    own: Sequence[str | None] = known.words(config, chain_names(config)[number])
    # What ties the stages together comes last, and so wins.
    words = [*known.settings(config).options, *swept, *(word for word in own if word is not None)]
    try:
        load_config(known.schema, words, presets=presets)
    except ValueError as error:
        raise ValueError(f"Stage {stage}: {error}") from error
    return words
