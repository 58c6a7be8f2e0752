"""The page that travels with a deployable: what it is, what it saw, what it reached, its limits."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.confidence_intervals import Interval
from evaluation.protocols import PROTOCOLS
from evaluation.summary import METRICS, SHARES, Stratum, Summary
from evaluation.training_tiers import TrainedCorpus
from shards import Manifest, ManifestSource

from .measurement import BATCH_SIZE, IMAGE_SIDE_PIXELS, Measurement, processor_name
from .parity import DiceChange, Parity

CARD_METRICS = (
    "dice",
    "iou",
    "hd95_pixels",
    "hd95_millimetres",
    "average_surface_distance_pixels",
    "normalised_surface_dice",
    "detection_rate",
)
"""Rows of the card's table of results, as far as they could be measured."""


@dataclass(frozen=True, kw_only=True)
class FormFacts:
    """What there is to say about one form of the graphs."""

    form: str
    parity: Parity
    opened_bytes: int = 0
    measurements: Sequence[Measurement] = ()
    refusal: str | None = None
    """Why it was left out."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Everything that the card says."""

    model_name: str
    checkpoint: str
    segmenter_kind: str
    is_automatic: bool
    input_size: int
    num_parameters: int
    config_hash: str | None
    """sha256 of the run's options; None for a checkpoint on its own."""

    training_sources: Sequence[ManifestSource]
    """Of the run's own corpora."""

    trained_on: Sequence[TrainedCorpus] | None
    """All that it learnt from, also by the weights that it began with; None where nobody knows."""

    held_out_manifest: Manifest
    summary: Summary
    """Of the first form that was not left out."""

    forms: Sequence[FormFacts]


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown."""
    sections = [
        f"# {facts.model_name}",
        _description(facts),
        "## Training data",
        _training_data(facts.training_sources),
        _learnt_from(facts),
        "## Evaluation",
        _evaluation(facts),
        "## Size and speed",
        _costs(facts.forms),
        "## Intended use and limits",
        _limits(is_automatic=facts.is_automatic),
    ]
    return "\n\n".join(sections) + "\n"


def _description(facts: CardFacts) -> str:
    what = (
        "every structure of its categories in an ultrasound image, without being asked"
        if facts.is_automatic
        else "the structure of an ultrasound image that clicks or a box point at"
    )
    forms = " and ".join(one.form for one in facts.forms if one.refusal is None)
    options = "" if facts.config_hash is None else f" (its run's options: `{facts.config_hash}`)"
    return (
        "**Not a medical device.** For research only; no output may guide the care of a patient."
        "\n\n"
        f"This model ({facts.segmenter_kind}, {facts.num_parameters:,} parameters) segments {what}."
        f" It was exported from `{facts.checkpoint}`{options} as ONNX graphs in {forms} with an "
        "input of "
        f"{facts.input_size} x {facts.input_size} pixels. `predict.py` runs it with onnxruntime, "
        "numpy and pillow; `checksums.json` holds the sha256 of every file."
    )


def _training_data(sources: Sequence[ManifestSource]) -> str:
    if not sources:
        return (
            "The corpora were not known at export. Whoever shares this model must find out under "
            "which terms its data came."
        )
    return (
        "The licences of the data may restrict what this model may be used for.\n\n"
        + _sources_table(sources)
    )


def _learnt_from(facts: CardFacts) -> str:
    """Name every corpus by its hash, and say what the model did not learn in its own run."""
    if not facts.trained_on:
        return (
            "Of all that it learnt from, also by the weights that it began with, the corpora are "
            "not known; some of them may hold the images below."
        )
    rows = [(f"`{one.content_hash}`", ", ".join(one.sources)) for one in facts.trained_on]
    words = ["All that it learnt from, by the hashes of the manifests:"]
    words.append(_table(("manifest", "sources"), rows))
    own = {source.name for source in facts.training_sources}
    others = sorted({name for one in facts.trained_on for name in one.sources} - own)
    if own and others:
        words.append(
            f"Of these, {', '.join(others)} taught the weights that it began with or a model that "
            "it was trained from; the licences of that data hold for it as well."
        )
    return "\n\n".join(words)


def _sources_table(sources: Sequence[ManifestSource]) -> str:
    rows = [
        (
            source.name,
            source.version,
            source.licence,
            f"{source.num_samples:,}",
            f"{source.num_objects:,}",
            f"{source.num_subjects:,}",
            ", ".join(source.categories),
            " ".join(part for part in (source.citation, source.home_page) if part),
        )
        for source in sources
    ]
    titles = ("source", "version", "licence", "images", "objects", "subjects", "annotates")
    return _table((*titles, "citation"), rows)


def _evaluation(facts: CardFacts) -> str:
    summary, manifest = facts.summary, facts.held_out_manifest
    told = PROTOCOLS[summary.protocol].tells if summary.protocol in PROTOCOLS else "nothing"
    overall = summary.overall
    return "\n\n".join(
        [
            f"Held-out split `{manifest.split}` (manifest `{manifest.content_hash}`): "
            f"{overall.num_rows:,} objects in {overall.num_images:,} images of "
            f"{overall.num_subjects:,} subjects. Protocol `{summary.protocol}`: the reference mask "
            f"tells the model {told}. Intervals ({summary.bootstrap.confidence:.0%}) are "
            "bootstrapped over subjects; distances of a missed object count as the image's "
            "diagonal.",
            _results_table(overall),
            _strata_table("source", summary.by_source),
            _strata_table("category", summary.by_category),
            *_sizes(summary),
            "Data of this split:",
            _sources_table(manifest.sources),
            "Every form of the graphs against the model in torch, on the same objects:",
            _forms_table(facts.forms),
            *(f"Left out: {one.refusal}" for one in facts.forms if one.refusal is not None),
        ]
    )


def _forms_table(forms: Sequence[FormFacts]) -> str:
    rows = [
        (
            one.form,
            f"{one.parity.mean_dice:.4f} ({one.parity.mean_dice_of_model:.4f})",
            _change(one.parity.dice_change),
            _worst_category(one.parity),
            f"{one.parity.mean_dice_difference:.2g} ({one.parity.max_dice_difference:.2g})",
            f"{one.parity.max_logit_difference:.2g}",
        )
        for one in forms
    ]
    titles = ("form", "Dice (in torch)", "change [lower bound]", "of the worst category")
    return _table((*titles, "an object's mean (largest) difference", "largest of a logit"), rows)


def _worst_category(parity: Parity) -> str:
    changes = parity.dice_change_by_category
    worst = max(changes, key=lambda name: changes[name].loss)
    return f"{worst} {_change(changes[worst])}"


def _change(change: DiceChange) -> str:
    lower = "no interval" if change.lower is None else f"{change.lower:+.4f}"
    return f"{change.mean:+.4f} [{lower}]"


def _results_table(stratum: Stratum) -> str:
    rows = [
        (METRICS[name], _interval(stratum.metrics[name], is_share=name in SHARES))
        for name in CARD_METRICS
        if name in stratum.metrics
    ]
    return _table(("metric", "mean [interval]"), rows)


def _strata_table(title: str, strata: dict[str, Stratum]) -> str:
    rows = [
        (
            name,
            f"{stratum.num_rows:,}",
            f"{stratum.num_subjects:,}",
            _interval(stratum.metrics["dice"]) if "dice" in stratum.metrics else "not measurable",
            f"{stratum.num_misses:,}",
        )
        for name, stratum in strata.items()
    ]
    return _table((title, "objects", "subjects", "Dice", "missed"), rows)


def _sizes(summary: Summary) -> list[str]:
    """Return the thirds by size, and where they part; nothing where objects are too much alike."""
    if not summary.by_size:
        return []
    limits = " and ".join(f"{100 * limit:.2g} %" for limit in summary.size_limits)
    return [
        f"Thirds by the structure's share of the image, parted at {limits}:",
        _strata_table("size", summary.by_size),
    ]


def _interval(interval: Interval, *, is_share: bool = False) -> str:
    digits = ".1%" if is_share else ".3f"
    mean = format(interval.mean, digits)
    if interval.lower != interval.lower:  # NaN: one subject says nothing about others
        return f"{mean} [no interval]"
    return f"{mean} [{format(interval.lower, digits)}, {format(interval.upper, digits)}]"


def _costs(forms: Sequence[FormFacts]) -> str:
    rows = [
        (
            one.form,
            f"{one.opened_bytes / 1e6:.1f} MB",
            str(cost.num_threads),
            f"{cost.opening_seconds:.2f} s",
            f"{cost.first_call_seconds * 1e3:.0f} ms",
            f"{cost.median_seconds * 1e3:.0f} ms",
            f"{cost.slow_seconds * 1e3:.0f} ms",
            f"{cost.decoding_seconds * 1e3:.1f} ms" if cost.decoding_seconds else "none",
            f"{cost.images_per_second:.1f}",
            f"{cost.peak_memory_bytes / 2**20:.0f} MiB",
        )
        for one in forms
        for cost in one.measurements
    ]
    note = (
        f"Measured on one image of {IMAGE_SIDE_PIXELS} x {IMAGE_SIDE_PIXELS} pixels, with a click "
        f"where the model takes any ({processor_name()}, {platform.system()}); images per second "
        f"in batches of {BATCH_SIZE}, without clicks; peak memory of the process, without that of "
        "a GPU. Opening includes imports and checksums."
    )
    titles = ("form", "files opened", "threads", "opening", "first call", "median", "95 %")
    return f"{note}\n\n{_table((*titles, 'further click', 'images/s', 'memory'), rows)}"


def _limits(*, is_automatic: bool) -> str:
    answers = (
        "- It knows its own categories only, and may find them where there are none."
        if is_automatic
        else "- It answers any click with a mask, also where there is nothing to segment."
    )
    return "\n".join(
        [
            "- Meant for research on the segmentation of ultrasound images, by people who check "
            "every mask.",
            answers,
            "- Scanners, presets, organs and patients other than those above were not measured; "
            "expect worse results there.",
            "- Results hold for the named protocol. People click differently.",
            "- Distances in millimetres need a spacing that the image file must bring along.",
        ]
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
