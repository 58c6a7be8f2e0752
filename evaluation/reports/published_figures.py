"""What papers report under their own protocols, to be put beside what was measured here.

Dice in percent. Nothing else of these papers is repeated: their Hausdorff distances are not.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.confidence_intervals import Interval, bootstrap_mean
from evaluation.config import BootstrapOptions
from evaluation.measured_rows import MeasuredRows
from evaluation.training_tiers import source_words

from .tables import Table

_ON_ANOTHER_GRID = (
    "SAMUS scores masks of 256 x 256 pixels, with the click taken there, and smooths Dice so that "
    "two empty masks score 1. Here the image's own grid counts, and two empty masks have no score."
)
_HAUSDORFF = (
    "The Hausdorff distances of these papers are left out: the code takes the rows of a mask for "
    "points, so a mask that is shifted down has distance 0."
)
_NO_INTERVALS = "The papers give no intervals and one training each; ours hold one training, too."
_SPLITS = (
    "TN3K and CAMUS have official test sets; the split of BUSI is not published, so another "
    "random one was measured here."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Structure:
    """What a paper reports on: a source, or one category of it."""

    name: str
    sources: tuple[str, ...]
    """Names of the source here: in its own layout, and as the end of its name in US30K's."""

    category: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedFigures:
    """Mean Dice of several models on several structures, and how far it can be compared."""

    title: str
    protocol: str
    """Under which ours is compared."""

    structures: tuple[Structure, ...]
    dice: Mapping[str, tuple[float, ...]]
    """By model, in the order of the structures."""

    caveats: tuple[str, ...]


_TN3K = Structure(name="TN3K", sources=("tn3k",))
_BUSI = Structure(name="BUSI", sources=("busi",))
_CAMUS = tuple(
    Structure(name=f"CAMUS {name}", sources=("camus",), category=category)
    for name, category in (
        ("LV", "left_ventricle_endocardium"),
        ("MYO", "myocardium"),
        ("LA", "left_atrium"),
    )
)
_UNSEEN = (
    Structure(name="DDTI", sources=("ddti",)),
    Structure(name="UDIAT", sources=("udiat", "bus")),
    Structure(name="HMC-QU", sources=("hmcqu",)),
)

PUBLISHED: dict[str, PublishedFigures] = {
    "samus_task_specific": PublishedFigures(
        title="SAMUS paper, each model trained on the one dataset (arXiv 2309.06824v1)",
        protocol="published_click",
        structures=(_TN3K, _BUSI, *_CAMUS),
        dice={
            "U-Net": (79.01, 78.11, 93.56, 86.86, 91.00),
            "SwinUnet": (70.08, 67.23, 91.72, 84.46, 89.80),
            "TransUNet": (81.44, 82.22, 93.54, 87.20, 91.37),
            "H2Former": (82.48, 81.48, 93.44, 87.31, 90.98),
            "SAMUS": (84.45, 85.77, 93.73, 87.46, 91.58),
        },
        caveats=(
            "Comparable only for a run that was trained on the one dataset alone.",
            "All but SAMUS get no prompt; SAMUS is told a pixel of the structure.",
            _SPLITS,
            _ON_ANOTHER_GRID,
            _HAUSDORFF,
            _NO_INTERVALS,
        ),
    ),
    "samus_us30k": PublishedFigures(
        title="SAMUS paper, foundation models trained on US30K (arXiv 2309.06824, Table 1)",
        protocol="published_click",
        structures=(_TN3K, _BUSI, *_CAMUS),
        dice={
            "SAM": (29.59, 54.01, 28.18, 29.42, 17.28),
            "MedSAM": (71.09, 77.75, 87.52, 76.07, 88.06),
            "SAMed": (80.40, 74.82, 87.67, 82.60, 90.92),
            "MSA": (82.67, 81.66, 90.95, 82.47, 91.80),
            "SAMUS": (83.05, 84.54, 91.13, 83.11, 92.00),
        },
        caveats=(
            "Comparable only for a run that was trained on the training part of US30K.",
            _SPLITS,
            _ON_ANOTHER_GRID,
            _HAUSDORFF,
            _NO_INTERVALS,
        ),
    ),
    "samus_generalisation": PublishedFigures(
        title="SAMUS paper, sources not trained on (arXiv 2309.06824v2, Table 2)",
        protocol="published_click",
        structures=_UNSEEN,
        dice={
            "SAM": (25.57, 49.18, 25.91),
            "MedSAM": (57.94, 61.49, 34.58),
            "SAMed": (61.64, 72.56, 37.82),
            "MSA": (62.24, 76.24, 40.56),
            "SAMUS": (66.78, 78.06, 56.77),
        },
        caveats=(
            "Comparable only in the tier of held-out sources, for a run that was trained on US30K.",
            "UDIAT is on request and is read here as Dataset B (source bus).",
            _ON_ANOTHER_GRID,
            _HAUSDORFF,
            _NO_INTERVALS,
        ),
    ),
    "autosamus_fine_tuned": PublishedFigures(
        title="AutoSAMUS, fine-tuned on each dataset (arXiv 2309.06824v2, Table 3)",
        protocol="automatic",
        structures=_UNSEEN,
        dice={
            "U-Net": (76.71, 82.64, 93.26),
            "TransUNet": (77.52, 81.15, 93.45),
            "H2Former": (77.92, 82.26, 93.44),
            "AutoSAMUS-": (78.89, 84.17, 92.87),
            "AutoSAMUS": (82.64, 85.39, 94.10),
        },
        caveats=(
            "Every model was trained on the dataset it is measured on; none of it is zero-shot.",
            "The paper's splits of these datasets are not published.",
            _ON_ANOTHER_GRID,
            _NO_INTERVALS,
        ),
    ),
    "ultrasam": PublishedFigures(
        title="UltraSam's test sets and prompts (arXiv 2411.16222)",
        protocol="mass_centre",
        structures=(
            Structure(name="BUS-BRA", sources=("busbra",)),
            Structure(name="MMOTU", sources=("mmotu2d",)),
            Structure(name="GIST514", sources=("gist514db",)),
        ),
        dice={},
        caveats=(
            "UltraSam's released code scores COCO average precision and no Dice. Of the paper the "
            "abstract was read and no table was found, so none of its figures stands here.",
            "A Dice of 0.853 on BUSI by a click at the centroid is a third party's measurement, "
            "and BUSI is in that model's training data.",
            "Its masks are cut at 256 x 256 pixels and then enlarged so that every pixel touched "
            "counts: a perfect answer about a disc of radius 16 scores an IoU of 0.74 there.",
            "Its test refines each answer in a second pass, asked by the box of the first answer "
            "in the click's place. The preset of UltraSam here makes two passes as well, and keeps "
            "the click in both; other models answer in one.",
            "Of MMOTU only the largest object of an image is scored there.",
        ),
    ),
}
"""By the name of the preset that measures the same."""


def published_table(
    figures: PublishedFigures, rows: Sequence[MeasuredRows], *, bootstrap: BootstrapOptions
) -> Table:
    """Return the published means beside ours, in percent; one line a structure and tier of ours."""
    ours = f"measured here ({figures.protocol})"
    lines: list[tuple[str, ...]] = []
    for place, structure in enumerate(figures.structures):
        published = tuple(f"{means[place]:.2f}" for means in figures.dice.values())
        found = _means(structure, rows, protocol=figures.protocol, bootstrap=bootstrap)
        for tier, interval in found or [("not measured", None)]:
            lines.append((structure.name, *published, tier.replace("_", " "), _percent(interval)))
    return Table(
        caption=f"{figures.title}: mean Dice in percent",
        titles=("", *figures.dice, "tier of ours", ours),
        rows=tuple(lines),
    )


def _means(
    structure: Structure,
    rows: Sequence[MeasuredRows],
    *,
    protocol: str,
    bootstrap: BootstrapOptions,
) -> list[tuple[str, Interval]]:
    means: list[tuple[str, Interval]] = []
    for group in rows:
        chosen = _is_about(structure, group)
        if group.protocol == protocol and chosen.any():
            dice, subjects = group.values["dice"][chosen], group.subject.codes[chosen]
            means.append((group.tier, bootstrap_mean(dice, subjects=subjects, options=bootstrap)))
    return means


def _is_about(structure: Structure, rows: MeasuredRows) -> np.ndarray:
    """Say of each row whether it is about the structure."""
    names = set(structure.sources)
    is_source = np.array([bool(source_words(str(one)) & names) for one in rows.source.names])
    chosen = is_source[rows.source.codes]
    if structure.category is None:
        return chosen
    is_category = np.array([str(name) == structure.category for name in rows.category.names])
    return chosen & is_category[rows.category.codes]


def _percent(interval: Interval | None) -> str:
    if interval is None or np.isnan(interval.mean):
        return "-"
    if np.isnan(interval.lower):
        return f"{100 * interval.mean:.2f}"
    mean, lower, upper = (100 * value for value in (interval.mean, interval.lower, interval.upper))
    return f"{mean:.2f} [{lower:.2f}, {upper:.2f}]"
