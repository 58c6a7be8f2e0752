"""Several models on the same held-out images: tables with intervals and paired differences.

A model may have been trained several times (seeds): its rows are then the means over the trainings,
object by object, and how far the trainings lie apart stands beside them.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .config import DEFAULT_BOOTSTRAP, BootstrapOptions
from .measured_rows import MeasuredRows, Rows, measured_rows
from .paired_difference import PairedDifference, difference_of, holm_adjusted
from .protocols import AUTOMATIC_PROTOCOL, DETECTOR_PROTOCOL, LABEL_MAP, is_in_tables
from .reports.tables import Table, format_interval
from .summary import METRICS, Summary, summarise_measured, without_nan
from .training_tiers import TIERS

SHOWN = ("dice", "hd95_pixels", "detection_rate")
"""Metrics of the table; all of them are in the files."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ComparedModel:
    """What one model reached under one protocol in one tier, and how it came to be."""

    rows: MeasuredRows
    summary: Summary
    facts: Mapping[str, str]
    """Further cells of its line, by title: parameters, steps and the like."""

    mean_of_seeds: tuple[float, ...]
    """Mean Dice of every training."""

    @property
    def label(self) -> str:
        """Name and protocol, which identify it within its tier."""
        return f"{self.summary.model} ({self.summary.protocol})"

    @property
    def seed_deviation(self) -> float:
        """Standard deviation of mean Dice over the trainings; NaN for one."""
        several = len(self.mean_of_seeds) > 1
        return float(np.std(self.mean_of_seeds, ddof=1)) if several else math.nan


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ComparedPair:
    """The Dice of one model minus that of another, in one tier."""

    first: ComparedModel
    second: ComparedModel
    paired: PairedDifference
    p_adjusted: float
    """Corrected for the number of pairs of the tier (Holm)."""

    def swapped(self) -> "ComparedPair":
        """Return the second minus the first."""
        interval, paired = self.paired.difference, self.paired
        return ComparedPair(
            first=self.second,
            second=self.first,
            p_adjusted=self.p_adjusted,
            paired=dataclasses.replace(
                paired,
                difference=dataclasses.replace(
                    interval, mean=-interval.mean, lower=-interval.upper, upper=-interval.lower
                ),
                num_only_in_first=paired.num_only_in_second,
                num_only_in_second=paired.num_only_in_first,
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelComparison:
    """Several models in the order given, each under its protocols, and every pair."""

    models: tuple[ComparedModel, ...]
    pairs: tuple[ComparedPair, ...]
    reference: str
    """The model that the tables' differences are taken against."""

    @property
    def tiers(self) -> list[str]:
        """Tiers that a model has rows in, from the easiest to the hardest."""
        found = {model.summary.tier for model in self.models}
        return [tier for tier in TIERS if tier in found]

    def in_tier(self, tier: str) -> list[ComparedModel]:
        """Return the models of one tier."""
        return [model for model in self.models if model.summary.tier == tier]

    def against_reference(self, model: ComparedModel) -> ComparedPair | None:
        """Return the model minus the reference, asked alike if it was.

        None where nothing pairs, or where the reference was asked in several other ways.
        """
        found = [
            pair if pair.first is model else pair.swapped()
            for pair in self.pairs
            if model in (pair.first, pair.second)
        ]
        found = [pair for pair in found if pair.second.summary.model == self.reference]
        alike = [pair for pair in found if pair.second.summary.protocol == model.summary.protocol]
        chosen = alike or found
        return chosen[0] if len(chosen) == 1 else None


def compare_models(
    trainings: Mapping[str, Sequence[Rows]],
    *,
    facts: Mapping[str, Mapping[str, str]],
    reference: str,
    bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> ModelComparison:
    """Summarise every model and compare each with each.

    Args:
        trainings: The rows of each training of each model, by the model's name.
        facts: Further cells of each model's line.
        reference: One of the models.
        bootstrap: How intervals are computed.

    Raises:
        ValueError: Trainings of one model were not asked the same.
    """
    models = tuple(
        _compared(seeds, facts=facts[name], bootstrap=bootstrap)
        for name, of_name in trainings.items()
        for seeds in _by_question(name, of_name)
    )
    pairs: list[ComparedPair] = []
    for tier in TIERS:
        pairs += _pairs([one for one in models if one.summary.tier == tier], bootstrap=bootstrap)
    return ModelComparison(models=models, pairs=tuple(pairs), reference=reference)


def comparison_tables(comparison: ModelComparison) -> list[Table]:
    """Return a table a tier with a line a model: facts, means, difference to the reference."""
    return [_table(comparison, tier=tier) for tier in comparison.tiers]


def comparison_numbers(comparison: ModelComparison) -> dict[str, Any]:
    """Return every number and pair as plain JSON values."""
    return without_nan(
        {
            "reference": comparison.reference,
            "models": [
                {
                    "name": model.summary.model,
                    "facts": dict(model.facts),
                    "mean_of_seeds": model.mean_of_seeds,
                    "seed_deviation": model.seed_deviation,
                    "summary": model.summary.to_json(),
                }
                for model in comparison.models
            ],
            "pairs": [pair_numbers(pair) for pair in comparison.pairs],
        }
    )


def pair_numbers(pair: ComparedPair) -> dict[str, Any]:
    """Return one pair as a flat row."""
    interval, paired = pair.paired.difference, pair.paired
    return {
        "tier": pair.first.summary.tier,
        "first": pair.first.summary.model,
        "first_protocol": pair.first.summary.protocol,
        "second": pair.second.summary.model,
        "second_protocol": pair.second.summary.protocol,
        "mean": interval.mean,
        "lower": interval.lower,
        "upper": interval.upper,
        "p_value": paired.p_value,
        "p_holm": pair.p_adjusted,
        "num_rows": interval.num_rows,
        "num_subjects": interval.num_subjects,
        "num_only_in_first": paired.num_only_in_first,
        "num_only_in_second": paired.num_only_in_second,
        "num_not_measurable": paired.num_not_measurable,
    }


def _by_question(name: str, trainings: Sequence[Rows]) -> list[list[MeasuredRows]]:
    """Return the rows of all trainings under each protocol in each tier."""
    found: dict[tuple[str, str], list[MeasuredRows]] = {}
    for rows in trainings:
        for group in measured_rows(rows):
            named = dataclasses.replace(group, model=name)
            found.setdefault((group.protocol, group.tier), []).append(named)
    for (protocol, tier), seeds in found.items():
        if len(seeds) != len(trainings) or any(
            not seed.objects.equals(seeds[0].objects) for seed in seeds
        ):
            sizes = ", ".join(str(len(seed)) for seed in seeds)
            raise ValueError(
                f"{name}: its {len(trainings)} trainings were not asked the same under {protocol} "
                f"({tier}): {sizes} rows. Evaluate all of them with one command's options, and "
                "give models that differ names of their own."
            )
    return list(found.values())


def _compared(
    seeds: Sequence[MeasuredRows], *, facts: Mapping[str, str], bootstrap: BootstrapOptions
) -> ComparedModel:
    together = _mean_over_seeds(seeds)
    return ComparedModel(
        rows=together,
        summary=summarise_measured(together, bootstrap=bootstrap),
        facts=facts,
        mean_of_seeds=tuple(float(_means([seed.values["dice"]])) for seed in seeds),
    )


def _mean_over_seeds(seeds: Sequence[MeasuredRows]) -> MeasuredRows:
    """Return the rows with each value's mean over the trainings that could be measured."""
    if len(seeds) == 1:
        return seeds[0]
    return dataclasses.replace(
        seeds[0],
        presence_logit=np.mean([seed.presence_logit for seed in seeds], axis=0),
        values={
            name: _means(np.stack([seed.values[name] for seed in seeds], axis=1))
            for name in seeds[0].values
        },
    )


def _means(values: Any) -> np.ndarray:  # noqa: ANN401 -- whatever numpy takes for an array
    """Return means along the last axis over what is not NaN."""
    array = np.asarray(values)
    counts = np.isfinite(array).sum(axis=-1)
    sums = np.nan_to_num(array).sum(axis=-1)
    return np.squeeze(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def _pairs(models: Sequence[ComparedModel], *, bootstrap: BootstrapOptions) -> list[ComparedPair]:
    """Return every pair of models of one tier that was asked about the same masks."""
    found: list[tuple[ComparedModel, ComparedModel, PairedDifference]] = []
    for place, first in enumerate(models):
        for second in models[place + 1 :]:
            if _can_be_paired(first.summary, second.summary):
                paired = difference_of(first.rows, second.rows, options=bootstrap)
                if paired is not None:
                    found.append((first, second, paired))
    adjusted = holm_adjusted([paired.p_value for _, _, paired in found])
    return [
        ComparedPair(first=first, second=second, paired=paired, p_adjusted=p_value)
        for (first, second, paired), p_value in zip(found, adjusted, strict=True)
    ]


def _can_be_paired(first: Summary, second: Summary) -> bool:
    """Say whether two models were asked alike, or one of them asked nothing."""
    protocols = {first.protocol, second.protocol}
    is_merged = any(protocol.endswith(LABEL_MAP) for protocol in protocols)
    asks_nothing = bool(protocols & {AUTOMATIC_PROTOCOL, DETECTOR_PROTOCOL}) and not is_merged
    is_alike = len(protocols) == 1 or asks_nothing
    return first.model != second.model and is_alike and is_in_tables(first.protocol)


def _table(comparison: ModelComparison, *, tier: str) -> Table:
    models = [one for one in comparison.in_tier(tier) if is_in_tables(one.summary.protocol)]
    titles = ("model", "asked by", *models[0].facts)
    has_seeds = any(len(model.mean_of_seeds) > 1 for model in models)
    return Table(
        caption=f"Models on the same images: {TIERS[tier]}",
        titles=(
            *titles,
            *(["seeds (SD of Dice)"] if has_seeds else []),
            "rows",
            *(METRICS[name] for name in SHOWN),
            f"Dice minus {comparison.reference} (common rows)",
            "p (Holm)",
        ),
        rows=tuple(
            (
                model.summary.model,
                model.summary.protocol,
                *model.facts.values(),
                *([_seed_words(model)] if has_seeds else []),
                str(model.summary.overall.num_rows),
                *(format_interval(name, model.summary.overall.metrics.get(name)) for name in SHOWN),
                *_difference_words(comparison.against_reference(model)),
            )
            for model in models
        ),
    )


def _seed_words(model: ComparedModel) -> str:
    count = len(model.mean_of_seeds)
    return f"{count} ({model.seed_deviation:.3f})" if count > 1 else "1"


def _difference_words(pair: ComparedPair | None) -> tuple[str, str]:
    if pair is None:
        return "-", "-"
    interval = pair.paired.difference
    p_value = "-" if math.isnan(pair.p_adjusted) else f"{pair.p_adjusted:.2g}"
    bounds = (
        "" if math.isnan(interval.lower) else f" [{interval.lower:+.3f}, {interval.upper:+.3f}]"
    )
    return f"{interval.mean:+.3f}{bounds} ({interval.num_rows})", p_value
