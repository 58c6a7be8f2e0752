"""From a segmenter to the folder that leaves the house: exported, gated, measured, described."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.evaluate import evaluate_corpus
from evaluation.prediction import SegmenterPredictor
from evaluation.records import EvaluationRecord
from evaluation.summary import Summary, summarise
from evaluation.training_tiers import TrainedCorpus, refuse_seen
from model import Segmenter, architecture_to_dict, write_flattened
from shards import Corpus, ManifestSource

from .config import GateConfig
from .folder import (
    EVALUATION_FILE,
    MODEL_CARD_FILE,
    PREPROCESSING_FILE,
    WEIGHTS_FOLDER,
    check_destination,
    files_of,
    new_deployable,
    opened_bytes,
    package_versions,
    write_checksums,
    write_json,
)
from .graph_forms import check_forms, write_form
from .measurement import CARD_THREADS, measure_deployable
from .model_card import CardFacts, FormFacts, model_card
from .onnx_export import NUM_IMAGE_CHANNELS, OPSET, export_graphs
from .parity import Parity, compare_with_model
from .predict import FORMAT_NAME, FORMAT_VERSION, MIN_SIDE_PIXELS, WINDOW_PERCENTILES
from .predictor import DeployablePredictor

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelOrigin:
    """Where a segmenter comes from, for its card."""

    model_name: str
    checkpoint: str
    """Name of the run and of the checkpoint, without the machine's folders."""

    training_sources: Sequence[ManifestSource]
    """Empty where they are not known; the card says so."""

    config_hash: str | None = None
    """sha256 of the run's options; None for a checkpoint on its own."""

    trained_on: Sequence[TrainedCorpus] | None = None
    """All that it learnt from, also by the weights that it began with; None where nobody knows."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What the gate is measured on, and how."""

    corpus: Corpus
    protocol: str
    gate: GateConfig


@dataclass(frozen=True, kw_only=True)
class MeasuredForm:
    """What a form of the graphs reached on the held-out corpus."""

    form: str
    graphs: Mapping[str, str]
    """File names by what the graphs do."""

    parity: Parity
    records: Sequence[EvaluationRecord]
    """Of the ONNX graphs on the held-out corpus, one row per question."""

    refusal: str | None
    """Why it is left out; None for a form that passed the gate."""


@dataclass(frozen=True, kw_only=True)
class ExportedDeployable:
    """A folder that passed the gate."""

    folder: Path
    forms: Sequence[MeasuredForm]
    """Those that were asked for, in that order, also what was left out."""

    summary: Summary
    """Of the first form that passed."""

    opened_bytes: int
    """Size of the files that a prediction opens, in that form."""

    @property
    def first(self) -> MeasuredForm:
        """The form that a prediction opens by itself."""
        return next(one for one in self.forms if one.refusal is None)


def export_deployable(
    segmenter: Segmenter,
    folder: Path,
    *,
    origin: ModelOrigin,
    held_out: HeldOut,
    forms: Sequence[str] = ("float32",),
    overwrite: bool = False,
    include_weights: bool = True,
) -> ExportedDeployable:
    """Write a deployable folder with the forms that pass the gate.

    Args:
        segmenter: A model with its trained weights.
        folder: Final name; everything is written to `FOLDER.partial` first.
        origin: For the model card.
        held_out: What the graphs are compared with torch and with the references on.
        forms: Some of `FORMS`; the first that passes is what a prediction opens by itself.
        overwrite: Replace a deployable of that name.
        include_weights: Also write `weights/`, a checkpoint to train on from; `predict.py` never
            opens it.

    Raises:
        FileExistsError: The folder exists.
        ValueError: The corpus holds no objects, or images that the model was trained on; a form
            cannot be measured, or all fail the gate.
    """
    check_destination(folder, overwrite=overwrite)
    refuse_seen(held_out.corpus, trained=origin.trained_on)
    check_forms(list(forms))
    with new_deployable(folder, overwrite=overwrite) as partial:
        measured = _write_forms(
            segmenter,
            partial,
            forms=forms,
            description=_preprocessing(segmenter, origin=origin),
            held_out=held_out,
        )
        exported = _exported(folder, partial, measured=measured)
        write_json(
            partial / EVALUATION_FILE, _evaluation(held_out, origin=origin, exported=exported)
        )
        facts = CardFacts(
            model_name=origin.model_name,
            checkpoint=origin.checkpoint,
            segmenter_kind=segmenter.kind,
            is_automatic=segmenter.is_automatic,
            input_size=segmenter.framing.input_size,
            num_parameters=sum(weight.numel() for weight in segmenter.parameters()),
            config_hash=origin.config_hash,
            training_sources=origin.training_sources,
            trained_on=origin.trained_on,
            held_out_manifest=held_out.corpus.manifest,
            summary=exported.summary,
            forms=[_form_facts(partial, one) for one in measured],
        )
        (partial / MODEL_CARD_FILE).write_text(model_card(facts), encoding="utf-8")
        if include_weights:
            write_flattened(segmenter, partial / WEIGHTS_FOLDER)
    _logger.info("%s: %.1f MB", folder, exported.opened_bytes / 1e6)
    return exported


def gate_refusal(parity: Parity, gate: GateConfig, *, form: str) -> str | None:
    """Return why a form is not as good as the model or as demanded; None for one that passes."""
    name = f"The {form} graphs"
    if form == "float32" and not parity.mean_dice_difference <= gate.max_dice_difference:
        return (
            f"{name} differ from the model by {parity.mean_dice_difference:.5f} mean Dice "
            f"on {parity.num_objects} held-out objects (logits by up to "
            f"{parity.max_logit_difference:.2g}); gate.max_dice_difference allows "
            f"{gate.max_dice_difference:g}. Retrain or report the model."
        )
    changes = {"all categories together": parity.dice_change, **parity.dice_change_by_category}
    for category, change in changes.items():
        if not change.loss <= gate.max_dice_loss:
            return (
                f"{name} change the mean Dice of {category} by {change.mean:+.4f} against the "
                f"model, and may have lost {change.loss:.4f} (lower bound, {change.num_objects} "
                f"held-out objects); gate.max_dice_loss allows {gate.max_dice_loss:g}."
            )
    if math.isnan(parity.mean_dice) or parity.mean_dice < gate.min_mean_dice:
        return (
            f"{name} reach a mean Dice of {parity.mean_dice:.4f} on {parity.num_objects} held-out "
            f"objects; gate.min_mean_dice demands {gate.min_mean_dice:g}. Train longer or lower "
            "the demand."
        )
    return None


def _write_forms(
    segmenter: Segmenter,
    partial: Path,
    *,
    forms: Sequence[str],
    description: Mapping[str, Any],
    held_out: HeldOut,
) -> list[MeasuredForm]:
    """Write and measure every form; the folder keeps those that pass, and describes them."""
    _logger.info("Tracing the graphs, which takes from seconds to some minutes.")
    float32 = export_graphs(segmenter, partial)
    model = SegmenterPredictor(segmenter)
    num_images = held_out.corpus.num_samples
    _logger.info("Measuring the model in torch on %d held-out images.", num_images)
    name, asked = str(description["model"]), (held_out.corpus, held_out.protocol)
    rows_of_model = evaluate_corpus(
        model, asked[0], protocol=asked[1], model_name=f"{name} in torch"
    )
    measured = []
    for form in forms:
        graphs = float32
        _logger.info("Measuring the %s graphs on %d held-out images.", form, num_images)
        if form != "float32":
            graphs = {role: write_form(partial / file, form) for role, file in float32.items()}
        write_json(partial / PREPROCESSING_FILE, {**description, "graphs": {form: graphs}})
        write_checksums(partial)
        parity, records = compare_with_model(
            DeployablePredictor(partial, form=form),
            model,
            held_out.corpus,
            protocol=held_out.protocol,
            model_name=name,
            rows_of_model=rows_of_model,
        )
        refusal = gate_refusal(parity, held_out.gate, form=form)
        if refusal is not None:
            _logger.warning("%s It is left out.", refusal)
        measured.append(
            MeasuredForm(form=form, graphs=graphs, parity=parity, records=records, refusal=refusal)
        )
    passed = {one.form: one.graphs for one in measured if one.refusal is None}
    if not passed:
        raise ValueError(f"{measured[0].refusal} Nothing was written.")
    for graphs in (float32, *(one.graphs for one in measured)):
        if graphs not in passed.values():
            for file in files_of(partial, graphs):
                file.unlink()
    write_json(partial / PREPROCESSING_FILE, {**description, "graphs": passed})
    write_checksums(partial)
    return measured


def _exported(
    folder: Path, partial: Path, *, measured: Sequence[MeasuredForm]
) -> ExportedDeployable:
    first = next(one for one in measured if one.refusal is None)
    return ExportedDeployable(
        folder=folder,
        forms=measured,
        summary=summarise(first.records),
        opened_bytes=opened_bytes(partial, first.graphs),
    )


def _form_facts(partial: Path, measured: MeasuredForm) -> FormFacts:
    if measured.refusal is not None:
        return FormFacts(form=measured.form, parity=measured.parity, refusal=measured.refusal)
    _logger.info("Timing the %s graphs in processes of their own.", measured.form)
    return FormFacts(
        form=measured.form,
        parity=measured.parity,
        opened_bytes=opened_bytes(partial, measured.graphs),
        measurements=[
            measure_deployable(partial, form=measured.form, num_threads=number)
            for number in CARD_THREADS
        ],
    )


def _preprocessing(segmenter: Segmenter, *, origin: ModelOrigin) -> dict[str, Any]:
    """Return all that `predict.py` must know beside the graphs' files."""
    categories = {name for source in origin.training_sources for name in source.categories}
    is_automatic = segmenter.is_automatic
    return {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "kind": "automatic" if is_automatic else "prompted",
        "model": origin.model_name,
        "config_hash": origin.config_hash,
        "architecture": architecture_to_dict(segmenter),
        "input_size": segmenter.framing.input_size,
        "fit": segmenter.framing.fit,
        "padding": segmenter.framing.padding,
        "num_channels": NUM_IMAGE_CHANNELS,
        "value_range": [0.0, 1.0],
        "normalisation": "inside the graphs",
        "resampling": "bilinear with antialiasing, pixel centres aligned",
        "min_side_pixels": MIN_SIDE_PIXELS,
        "window_percentiles": list(WINDOW_PERCENTILES),
        "threshold_logit": 0.0,
        "prompt_kinds": sorted(segmenter.prompt_kinds),
        "mask_size": segmenter.mask_size,
        "categories": list(segmenter.categories) if is_automatic else sorted(categories),
        "judges_presence": getattr(segmenter.architecture, "judges_presence", False),
        "opset": OPSET,
        "versions": package_versions(),
    }


def _evaluation(
    held_out: HeldOut, *, origin: ModelOrigin, exported: ExportedDeployable
) -> dict[str, Any]:
    """Return what let the folder through the gate, what was left out, and what was trained on."""
    manifest = held_out.corpus.manifest
    return {
        "format_version": 2,
        "trained_on": None
        if origin.trained_on is None
        else [
            {"content_hash": one.content_hash, "sources": list(one.sources)}
            for one in origin.trained_on
        ],
        "corpus": {
            "manifest_hash": manifest.content_hash,
            "split": manifest.split,
            "sources": [source.name for source in manifest.sources],
            "num_images": manifest.num_samples,
            "num_objects": manifest.num_objects,
        },
        "protocol": held_out.protocol,
        "gate": dataclasses.asdict(held_out.gate),
        "forms": {
            one.form: {"refusal": one.refusal, "parity": dataclasses.asdict(one.parity)}
            for one in exported.forms
        },
        "summary": exported.summary.to_json(),
    }
