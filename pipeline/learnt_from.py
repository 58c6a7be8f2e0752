"""What the weights that a run starts from were trained on: nobody calls it held out later."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation import trained_corpora

from .config import PretrainConfig
from .run_folder.folder import RunFolder

LEARNT_FROM = "learnt_from"
"""Field of `environment.json`."""

PHOTOGRAPHS = ("sam", "sam_hugging_face", "resnet")
"""Layouts of published weights that were trained on photographs, not on ultrasound."""

_logger = logging.getLogger(__name__)


def read_learnt_from(folder: RunFolder) -> dict[str, Any] | None:
    """Return what a run wrote down at its last start; None where it did not."""
    if not folder.environment.is_file():
        return None
    return json.loads(folder.environment.read_text(encoding="utf-8")).get(LEARNT_FROM)


def learnt_from(config: PretrainConfig, *, layouts: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the corpora behind each model that a run starts from; None where nobody knows.

    Args:
        config: As the user gave it.
        layouts: Published layout of the weights by option, where files were read.
    """
    origins = {
        "model.base": config.model.base,
        "initialize_from": config.initialize_from,
        "distillation.teacher": config.distillation.teacher,
    }
    return {
        f"{option}={origin}": _corpora_behind(origin, layout=layouts.get(option))
        for option, origin in origins.items()
        if origin is not None
    }


def _corpora_behind(origin: str, *, layout: str | None) -> list[dict[str, Any]] | None:
    if layout in PHOTOGRAPHS:
        return []
    known = trained_corpora(Path(origin))
    if known is not None:
        return [dataclasses.asdict(corpus) for corpus in known]
    _logger.info(
        "%s does not say what it was trained on; evaluations of this run call the tier of images "
        "unknown.",
        origin,
    )
    return None
