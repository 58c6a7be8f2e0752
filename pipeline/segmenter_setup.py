"""The segmenter of a run: built, loaded with what it starts from, frozen as it has to be."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from evaluation import WEIGHTS_FOLDER, pull_deployable
from model import (
    PRESETS,
    WEIGHTS,
    BaseFile,
    SamArchitecture,
    Segmenter,
    architecture_to_dict,
    build_segmenter,
    freeze,
    load_weights,
    tensors_to_store,
)

from .checkpoint import read_tensors
from .config import PretrainConfig
from .seeding import seed_first_weights

REGISTRY_SCHEME = "models:/"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PreparedSegmenter:
    """A segmenter that is ready to train or to take a checkpoint."""

    segmenter: Segmenter
    architecture: dict[str, Any]
    """As `architecture.json` describes it."""

    base: BaseFile | None
    """The file that the tensors outside `saved_names` are from."""

    saved_names: frozenset[str]
    """State that a checkpoint holds: all of it, or all that is not the base's."""

    def saved_state(self, segmenter: Segmenter) -> dict[str, Tensor]:
        """Return what a checkpoint holds of `segmenter`, which is this one or a copy of it."""
        state = segmenter.state_dict()
        return {name: state[name] for name in state if name in self.saved_names}

    def load_saved_state(self, folder: Path) -> None:
        """Take over the weights of a checkpoint of this very run."""
        tensors = read_tensors(folder / WEIGHTS)
        if set(tensors) != self.saved_names:
            different = sorted(set(tensors) ^ self.saved_names)
            raise ValueError(
                f"{folder}: holds other weights than this run's: {len(different)} names differ, "
                f"such as {different[0]}. Start another run from it with initialize_from=."
            )
        self.segmenter.load_state_dict(tensors, strict=False)


def prepare_segmenter(config: PretrainConfig, *, categories: tuple[str, ...]) -> PreparedSegmenter:
    """Build the segmenter with seeded weights, load `model.base`, and freeze by it.

    Args:
        config: The run.
        categories: What the training corpora annotate, for a segmenter that answers by category.

    Raises:
        ValueError: The preset, an override or the base does not fit.
        FileNotFoundError: There is no such base file.
    """
    overrides = _overrides(config, categories=categories)
    seed_first_weights(config.run.seed)
    try:
        segmenter = build_segmenter(config.model.preset, **overrides)
    except ValueError as error:
        raise ValueError(
            f"model.preset={config.model.preset} with model.overrides: {error}"
        ) from error
    _refuse_untaken_prompts(config, segmenter)
    _refuse_unserved_objective(config, segmenter)
    base, from_base = None, frozenset[str]()
    if config.model.base is not None:
        if not isinstance(segmenter.architecture, SamArchitecture):
            raise ValueError(
                f"model.base is given, but {config.model.preset} has no pretrained parts: leave it "
                "out, or start from weights with initialize_from=."
            )
        report = load_weights(segmenter, Path(config.model.base))
        base, from_base = report.base, report.from_base
        if base is None:
            raise ValueError(
                f"model.base={config.model.base} is a checkpoint that holds all of its weights, or "
                "a part of a model, so it has no frozen base: start from it with initialize_from= "
                "instead."
            )
    freeze(
        segmenter,
        has_base=base is not None,
        uses_predicted_iou=config.objective.uses_predicted_iou,
        uses_candidates=config.candidates_in_last_pass,
    )
    segmenter.set_activation_checkpointing(config.activation_checkpointing)
    return PreparedSegmenter(
        segmenter=segmenter,
        architecture=architecture_to_dict(segmenter, preset=config.model.preset),
        base=base,
        saved_names=frozenset(tensors_to_store(segmenter, from_base=from_base)),
    )


def _refuse_unserved_objective(config: PretrainConfig, segmenter: Segmenter) -> None:
    """Refuse to train an IoU or candidates that a segmenter does not have."""
    if segmenter.predicts_iou:
        return
    if config.objective.uses_predicted_iou:
        raise ValueError(
            f"objective.kind=focal_dice_iou needs a model that predicts its IoU, which "
            f"{config.model.preset} does not. Choose objective.iou_weight=0 or "
            "objective.kind=dice_bce."
        )
    if config.candidates_in_last_pass:
        raise ValueError(
            f"candidates_in_last_pass=true needs a model that can answer with several masks, which "
            f"{config.model.preset} cannot. Leave it out."
        )


def _refuse_untaken_prompts(config: PretrainConfig, segmenter: Segmenter) -> None:
    """Refuse to simulate prompts that a prompted segmenter does not take."""
    if segmenter.is_automatic:
        return
    clicks, refinements = config.num_error_clicks, config.num_mask_refinements
    box_probability = config.prompts.box_probability
    asked = {
        "points": (box_probability < 1 or clicks, "prompts.box_probability=1 num_error_clicks=0"),
        "boxes": (box_probability, "prompts.box_probability=0"),
        "masks": (clicks + refinements, "num_error_clicks=0 num_mask_refinements=0"),
    }
    for kind, (is_asked, remedy) in asked.items():
        if is_asked and kind not in segmenter.prompt_kinds:
            raise ValueError(
                f"model.preset={config.model.preset} takes {', '.join(segmenter.prompt_kinds)} as "
                f"prompts, but training would ask with {kind}. Set {remedy}."
            )


def initialize_segmenter(prepared: PreparedSegmenter, *, source: str, registry: str) -> str:
    """Load `initialize_from=` over the first weights, and return their layout's name.

    The optimizer stays fresh.

    Args:
        prepared: Its weights are changed in place.
        source: A run, a checkpoint, a published file, or `models:/NAME@ALIAS`.
        registry: MLflow server or database that names of models are looked up in.

    Raises:
        ValueError: The weights do not fit, or differ from the base where it is frozen.
    """
    frozen = {
        name: parameter.detach().clone()
        for name, parameter in prepared.segmenter.named_parameters()
        if prepared.base is not None and name not in prepared.saved_names
    }
    with _weights_of(source, registry=registry) as path:
        report = load_weights(prepared.segmenter, path)
    present = dict(prepared.segmenter.named_parameters())
    changed = [name for name, value in frozen.items() if not torch.equal(value, present[name])]
    if changed:
        raise ValueError(
            f"initialize_from={source}: {len(changed)} parameters, such as {changed[0]}, differ "
            "from model.base, which is frozen. Name the base that these weights were trained on, "
            "or leave model.base out to train everything."
        )
    _logger.info("Weights are initialized from %s; the optimizer is fresh.", source)
    return report.layout


def _overrides(config: PretrainConfig, *, categories: tuple[str, ...]) -> dict[str, Any]:
    overrides = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.model.overrides.items()
    }
    is_automatic = hasattr(PRESETS.get(config.model.preset), "categories")
    if config.model.categories and not is_automatic:
        raise ValueError(
            f"model.categories is given, but {config.model.preset} answers prompts and has none: "
            "leave it out."
        )
    if is_automatic:
        overrides["categories"] = tuple(config.model.categories) or categories
    return overrides


@contextmanager
def _weights_of(source: str, *, registry: str) -> Iterator[Path]:
    """Yield where the weights lie; a registered model's are fetched for as long as that takes."""
    if not source.startswith(REGISTRY_SCHEME):
        yield Path(source)
        return
    with TemporaryDirectory() as scratch:
        folder = pull_deployable(source, tracking_uri=registry, destination=Path(scratch))
        if not (folder / WEIGHTS_FOLDER).is_dir():
            raise ValueError(
                f"initialize_from={source}: that version was exported with include_weights=false, "
                "so there is nothing to train on from. Start from its run folder instead."
            )
        yield folder / WEIGHTS_FOLDER
