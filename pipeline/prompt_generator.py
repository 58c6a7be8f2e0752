"""The training of AutoSAMUS's prompt generator: a pretraining run that stands on another one."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from model import (
    ARCHITECTURE,
    PRESETS,
    AutosamusArchitecture,
    SamusArchitecture,
    architecture_from_dict,
    find_checkpoint,
)

from .pretraining import pretrain
from .prompt_generator_config import PromptGeneratorConfig
from .run_folder.state import RUN_STATE, read_run_state
from .session import RunResult


def train_prompt_generator(
    config: PromptGeneratorConfig, *, launcher: int | None = None
) -> RunResult:
    """Train a prompt generator on `parent` (collective).

    Args:
        config: All options.
        launcher: Process whose end stops the run, see `watch_stop_signals`.

    Raises:
        ValueError, OSError, RuntimeError: What the user can mend; the message says how.
    """
    return pretrain(on_parent(config), launcher=launcher)


def on_parent(config: PromptGeneratorConfig) -> PromptGeneratorConfig:
    """Return the options with the parent as base, its architecture, and its MLflow run.

    The parent's architecture comes before the preset's, and what the user overrides before both.
    """
    if config.model.base is not None:
        raise ValueError(
            f"model.base={config.model.base} is given, but what the generator is trained on is "
            "parent: leave model.base out."
        )
    if not isinstance(PRESETS.get(config.model.preset), AutosamusArchitecture):
        known = [name for name, one in PRESETS.items() if isinstance(one, AutosamusArchitecture)]
        raise ValueError(
            f"model.preset={config.model.preset} has no prompt generator. Choose one of "
            f"{', '.join(known)}."
        )
    inherited: dict[str, Any] = {}
    categories, tracking = config.model.categories, config.tracking
    if Path(config.parent).is_dir():
        checkpoint = find_checkpoint(Path(config.parent))
        architecture = _read_architecture(checkpoint)
        inherited = dataclasses.asdict(architecture)
        known = inherited.pop("categories", ())
        categories = categories or list(known)
        tracking = dataclasses.replace(tracking, parent_run_id=_mlflow_run_of(checkpoint))
    stage = {"trains_adapters": config.train == "generator_and_adapters"}
    model = dataclasses.replace(
        config.model,
        base=config.parent,
        overrides=inherited | config.model.overrides | stage,
        categories=categories,
    )
    return dataclasses.replace(config, model=model, tracking=tracking)


def _read_architecture(checkpoint: Path) -> SamusArchitecture | AutosamusArchitecture:
    description = json.loads((checkpoint / ARCHITECTURE).read_text(encoding="utf-8"))
    architecture = architecture_from_dict(description)
    if not isinstance(architecture, SamusArchitecture):
        raise ValueError(
            f"parent={checkpoint}: is a {architecture.kind}. A prompt generator is trained on a "
            "SAMUS, or in its second stage on an AutoSAMUS."
        )
    return architecture


def _mlflow_run_of(checkpoint: Path) -> str | None:
    has_state = (checkpoint / RUN_STATE).is_file()
    return read_run_state(checkpoint).mlflow_run_id if has_state else None
