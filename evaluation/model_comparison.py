"""Several models on the same held-out images: one table with intervals and paired differences.

A prompted model has a row for each object, an automatic one for each category. Where a category has
one object in an image, both rows are about the same mask, and there the two kinds are compared.
"""

import collections
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .confidence_intervals import PairedDifference, paired_bootstrap_difference
from .config import DEFAULT_BOOTSTRAP, BootstrapOptions
from .protocols import AUTOMATIC_PROTOCOL
from .records import WHOLE_CATEGORY, EvaluationRecord
from .report_tables import Table, format_interval, markdown_table
from .summary import METRICS, Summary, summarise

SHOWN = ("dice", "hd95_pixels", "detection_rate")
"""Metrics of the table; all of them are in `comparison.json`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """What one model reached, and how it came to be."""

    summary: Summary
    facts: Mapping[str, str]
    """Further cells of its line, by title: parameters, steps and the like."""

    differences: Mapping[str, PairedDifference | None]
    """Its Dice minus that of every other model, by that model's name; None where the two have no
    row about the same mask."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """Several models, in the order given."""

    models: Mapping[str, ComparedModel]
    reference: str
    """The model that the table's differences are taken against."""


def compare_models(
    rows: Mapping[str, Sequence[EvaluationRecord]],
    *,
    facts: Mapping[str, Mapping[str, str]],
    reference: str,
    bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> ModelComparison:
    """Summarise every model and compare each with each.

    Args:
        rows: Of each model under one protocol, by the model's name.
        facts: Further cells of each model's line.
        reference: One of the models.
        bootstrap: How intervals are computed.
    """
    return ModelComparison(
        reference=reference,
        models={
            name: ComparedModel(
                summary=summarise(mine, bootstrap=bootstrap),
                facts=facts[name],
                differences={
                    other: paired_difference(mine, theirs, bootstrap=bootstrap)
                    for other, theirs in rows.items()
                    if other != name
                },
            )
            for name, mine in rows.items()
        },
    )


def paired_difference(
    first: Sequence[EvaluationRecord],
    second: Sequence[EvaluationRecord],
    *,
    bootstrap: BootstrapOptions = DEFAULT_BOOTSTRAP,
) -> PairedDifference | None:
    """Compare the Dice of two models, of which one may be prompted and the other automatic.

    None where they were never asked about the same mask.
    """
    if _is_automatic(first) != _is_automatic(second):
        first, second = (_of_lone_objects(rows) for rows in (first, second))
    if not _asked(first) & _asked(second):
        return None
    return paired_bootstrap_difference(first, second, options=bootstrap)


def comparison_table(comparison: ModelComparison) -> Table:
    """Return one line a model: facts, means with intervals, difference to the reference."""
    first = next(iter(comparison.models.values()))
    difference = f"Dice minus {comparison.reference} (common rows)"
    titles = ("model", "asked by", *first.facts, "rows", *(METRICS[name] for name in SHOWN))
    return Table(
        caption="Models on the same held-out images",
        titles=(*titles, difference),
        rows=tuple(
            (
                name,
                model.summary.protocol,
                *model.facts.values(),
                str(model.summary.overall.num_rows),
                *(
                    format_interval(metric, model.summary.overall.metrics.get(metric))
                    for metric in SHOWN
                ),
                _difference_words(model.differences.get(comparison.reference)),
            )
            for name, model in comparison.models.items()
        ),
    )


def write_comparison(folder: Path, comparison: ModelComparison) -> None:
    """Write `comparison.json` with every number and pair, and `comparison.md` with the table."""
    content = {
        "reference": comparison.reference,
        "models": {
            name: {
                "facts": dict(model.facts),
                "summary": model.summary.to_json(),
                "differences": {
                    other: _difference_numbers(paired)
                    for other, paired in model.differences.items()
                },
            }
            for name, model in comparison.models.items()
        },
    }
    text = json.dumps(content, indent=2, allow_nan=False)
    (folder / "comparison.json").write_text(f"{text}\n", encoding="utf-8")
    table = markdown_table(comparison_table(comparison))
    (folder / "comparison.md").write_text(f"{table}\n", encoding="utf-8")


def _asked(rows: Sequence[EvaluationRecord]) -> set[tuple[str, str, int, str]]:
    return {(row.source, row.key, row.object_index, row.category) for row in rows}


def _is_automatic(rows: Sequence[EvaluationRecord]) -> bool:
    return any(row.protocol == AUTOMATIC_PROTOCOL for row in rows)


def _of_lone_objects(rows: Sequence[EvaluationRecord]) -> list[EvaluationRecord]:
    """Return the rows about a category with at most one object, all under the category's name.

    Of several objects of a category, which only a prompted model has rows for, none is returned; an
    automatic model's row about them then finds no partner.
    """
    counts = collections.Counter((row.source, row.key, row.category) for row in rows)
    return [
        dataclasses.replace(row, object_index=WHOLE_CATEGORY)
        for row in rows
        if counts[row.source, row.key, row.category] == 1
    ]


def _difference_words(paired: PairedDifference | None) -> str:
    if paired is None:
        return "-"
    interval = paired.difference
    words = f"{interval.mean:+.3f} [{interval.lower:+.3f}, {interval.upper:+.3f}]"
    return f"{words} ({interval.num_rows})"


def _difference_numbers(paired: PairedDifference | None) -> dict[str, Any] | None:
    if paired is None:
        return None
    numbers = dataclasses.asdict(paired)
    interval = numbers["difference"]
    return {
        **numbers,
        # JSON has no NaN: an interval of one subject has no ends.
        "difference": {
            key: None if math.isnan(value) else value for key, value in interval.items()
        },
    }
