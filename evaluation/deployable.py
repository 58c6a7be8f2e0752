"""From a segmenter to the folder that leaves the house: exported, gated, measured, described."""

import dataclasses
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import Segmenter, architecture_to_dict, write_flattened
from shards import Corpus, ManifestSource

from .deployable_config import GateConfig
from .deployable_folder import (
    EVALUATION_FILE,
    MODEL_CARD_FILE,
    PREPROCESSING_FILE,
    WEIGHTS_FOLDER,
    check_destination,
    new_deployable,
    opened_bytes,
    package_versions,
    write_checksums,
    write_json,
)
from .deployable_measurement import measure_deployable
from .deployable_predict import FORMAT_NAME, FORMAT_VERSION, MIN_SIDE_PIXELS, WINDOW_PERCENTILES
from .deployable_predictor import DeployablePredictor
from .model_card import CardFacts, model_card
from .onnx_export import NUM_IMAGE_CHANNELS, OPSET, export_graphs
from .parity import Parity, compare_with_model
from .prediction import SegmenterPredictor
from .records import EvaluationRecord
from .summary import Summary, summarise

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelOrigin:
    """Where a segmenter comes from, for its card."""

    model_name: str
    checkpoint: str
    """Name of the run and of the checkpoint, without the machine's folders."""

    training_sources: Sequence[ManifestSource]
    """Empty where they are not known; the card says so."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What the gate is measured on, and how."""

    corpus: Corpus
    protocol: str
    gate: GateConfig


@dataclass(frozen=True, kw_only=True)
class ExportedDeployable:
    """A folder that passed the gate."""

    folder: Path
    records: Sequence[EvaluationRecord]
    """Of the ONNX graphs on the held-out corpus, one row per object."""

    summary: Summary
    parity: Parity
    opened_bytes: int
    """Size of the files that a prediction opens."""


def export_deployable(
    segmenter: Segmenter,
    folder: Path,
    *,
    origin: ModelOrigin,
    held_out: HeldOut,
    overwrite: bool = False,
    include_weights: bool = True,
) -> ExportedDeployable:
    """Write a deployable folder, unless the graphs fail the gate.

    Args:
        segmenter: A prompted model with its trained weights.
        folder: Final name; everything is written to `FOLDER.partial` first.
        origin: For the model card.
        held_out: What the graphs are compared with torch and with the references on.
        overwrite: Replace a deployable of that name.
        include_weights: Also write `weights/`, a checkpoint to train on from; `predict.py` never
            opens it.

    Raises:
        FileExistsError: The folder exists.
        ValueError: The model takes no prompts, the corpus holds no objects, or the gate is failed.
    """
    check_destination(folder, overwrite=overwrite)
    with new_deployable(folder, overwrite=overwrite) as partial:
        export_graphs(segmenter, partial)
        write_json(partial / PREPROCESSING_FILE, _preprocessing(segmenter, origin=origin))
        write_checksums(partial)
        parity, records = compare_with_model(
            DeployablePredictor(partial),
            SegmenterPredictor(segmenter),
            held_out.corpus,
            protocol=held_out.protocol,
            model_name=origin.model_name,
        )
        check_gate(parity, held_out.gate)
        summary = summarise(records)
        write_json(partial / EVALUATION_FILE, _evaluation(held_out, parity=parity, summary=summary))
        facts = CardFacts(
            model_name=origin.model_name,
            checkpoint=origin.checkpoint,
            segmenter_kind=segmenter.kind,
            input_size=segmenter.framing.input_size,
            num_parameters=sum(weight.numel() for weight in segmenter.parameters()),
            opened_bytes=opened_bytes(partial),
            training_sources=origin.training_sources,
            held_out_manifest=held_out.corpus.manifest,
            summary=summary,
            parity=parity,
            measurement=measure_deployable(partial),
        )
        (partial / MODEL_CARD_FILE).write_text(model_card(facts), encoding="utf-8")
        size = opened_bytes(partial)
        if include_weights:
            write_flattened(segmenter, partial / WEIGHTS_FOLDER)
    _logger.info("%s: %.1f MB, mean Dice %.4f", folder, size / 1e6, parity.mean_dice)
    return ExportedDeployable(
        folder=folder, records=records, summary=summary, parity=parity, opened_bytes=size
    )


def check_gate(parity: Parity, gate: GateConfig) -> None:
    """Raise unless the graphs are as good as the model and as good as demanded."""
    if not parity.mean_dice_difference <= gate.max_dice_difference:
        raise ValueError(
            f"The ONNX graphs differ from the model by {parity.mean_dice_difference:.5f} mean Dice "
            f"on {parity.num_objects} held-out objects (logits by up to "
            f"{parity.max_logit_difference:.2g}); gate.max_dice_difference allows "
            f"{gate.max_dice_difference:g}. Nothing was written. Retrain or report the model."
        )
    if math.isnan(parity.mean_dice) or parity.mean_dice < gate.min_mean_dice:
        raise ValueError(
            f"The mean Dice on {parity.num_objects} held-out objects is {parity.mean_dice:.4f}; "
            f"gate.min_mean_dice demands {gate.min_mean_dice:g}. Nothing was written. Train longer "
            "or lower the demand."
        )


def _preprocessing(segmenter: Segmenter, *, origin: ModelOrigin) -> dict[str, Any]:
    """Return all that `predict.py` must know beside the graphs."""
    categories = {name for source in origin.training_sources for name in source.categories}
    return {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "kind": "prompted",
        "model": origin.model_name,
        "architecture": architecture_to_dict(segmenter),
        "input_size": segmenter.framing.input_size,
        "fit": segmenter.framing.fit,
        "padding": segmenter.framing.padding,
        "num_channels": NUM_IMAGE_CHANNELS,
        "value_range": [0.0, 1.0],
        "normalisation": "inside encoder.onnx",
        "resampling": "bilinear with antialiasing, pixel centres aligned",
        "min_side_pixels": MIN_SIDE_PIXELS,
        "window_percentiles": list(WINDOW_PERCENTILES),
        "threshold_logit": 0.0,
        "prompt_kinds": sorted(segmenter.prompt_kinds - {"masks"}),
        "categories": sorted(categories),
        "graphs": {"encoder": "encoder.onnx", "decoder": "decoder.onnx"},
        "opset": OPSET,
        "versions": package_versions(),
    }


def _evaluation(held_out: HeldOut, *, parity: Parity, summary: Summary) -> dict[str, Any]:
    """Return what let the folder through the gate."""
    manifest = held_out.corpus.manifest
    return {
        "format_version": 1,
        "corpus": {
            "manifest_hash": manifest.content_hash,
            "split": manifest.split,
            "sources": [source.name for source in manifest.sources],
            "num_images": manifest.num_samples,
            "num_objects": manifest.num_objects,
        },
        "protocol": held_out.protocol,
        "gate": dataclasses.asdict(held_out.gate),
        "parity": dataclasses.asdict(parity),
        "summary": summary.to_json(),
    }
