"""A comparison on disk: a page, tables for papers, and every number.

FOLDER/
    comparison.html        tables, differences, robustness, click curves
    comparison.md, .tex    the tables
    comparison.json        every number and pair
    strata.parquet         every mean of every model, and the other files of `parquet_files`
    differences.parquet    every pair
"""

import json
from pathlib import Path

import numpy as np

from evaluation.model_comparison import (
    ComparedModel,
    ModelComparison,
    comparison_numbers,
    comparison_tables,
    pair_numbers,
)
from evaluation.protocols import is_after_clicks, num_clicks_of, what_is_told
from evaluation.training_tiers import TIERS

from .figures import click_curves, difference_plot, heat_map
from .page import bullets, card, html_table, page, text
from .parquet_files import write_parquet_files
from .report import FOOTER
from .sections import FEWEST_IN_MAP, NOT_CLAIMED, click_curve
from .tables import latex_table, markdown_table


def write_comparison(folder: Path, comparison: ModelComparison) -> Path:
    """Write all files of a comparison; return the page."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    tables = comparison_tables(comparison)
    numbers = json.dumps(comparison_numbers(comparison), indent=2, allow_nan=False)
    words = [part for table in tables for part in (f"**{table.caption}**", markdown_table(table))]
    files = {
        "comparison.json": numbers,
        "comparison.md": "\n\n".join([*words, FOOTER]),
        "comparison.tex": "\n\n".join(latex_table(table) for table in tables),
        "comparison.html": _page(comparison),
    }
    for name, content in files.items():
        (folder / name).write_text(content + "\n", encoding="utf-8")
    write_parquet_files(
        folder,
        groups=[model.rows for model in comparison.models],
        summaries=[model.summary for model in comparison.models],
    )
    pairs = [pair_numbers(pair) for pair in comparison.pairs]
    pq.write_table(pa.Table.from_pylist(pairs), folder / "differences.parquet")
    return folder / "comparison.html"


def _page(comparison: ModelComparison) -> str:
    names = list(dict.fromkeys(model.summary.model for model in comparison.models))
    protocols = dict.fromkeys(model.summary.protocol for model in comparison.models)
    told = [
        f"{name}: {what_is_told(name)}"
        for name in protocols
        if not is_after_clicks(name) or num_clicks_of(name) == 1
    ]
    sections = [_tier_section(comparison, tier=tier) for tier in comparison.tiers]
    sections += [
        f"<h2>What the ground truth told</h2>{card(bullets(told))}",
        f"<h2>What this does not show</h2>{card(bullets(NOT_CLAIMED), kind='note')}",
    ]
    return page(
        title=f"{len(names)} models side by side",
        subtitle=", ".join(names),
        body="\n".join(sections),
    )


def _tier_section(comparison: ModelComparison, *, tier: str) -> str:
    models = comparison.in_tier(tier)
    num_pairs = sum(pair.first.summary.tier == tier for pair in comparison.pairs)
    (table,) = (
        one
        for one, name in zip(comparison_tables(comparison), comparison.tiers, strict=True)
        if name == tier
    )
    figures = "".join(map(card, _figures(comparison, models)))
    return (
        f"<h2>{text(TIERS[tier].capitalize())}</h2>{html_table(table)}"
        '<p class="soft">Differences are paired: each subject is drawn for both models at once, on '
        f"the rows that both have. p is corrected for {num_pairs} pairs (Holm).</p>"
        f'<div class="figures">{figures}</div>'
    )


def _figures(comparison: ModelComparison, models: list[ComparedModel]) -> list[str]:
    """Return the plots that there are enough models or protocols for."""
    figures: list[str] = []
    single = [model for model in models if not is_after_clicks(model.summary.protocol)]
    against = {
        model.label: pair.paired.difference
        for model in single
        if (pair := comparison.against_reference(model)) is not None
    }
    if against:
        title = f"mean Dice minus {comparison.reference}"
        figures.append(difference_plot(against, title=title))
    protocols = list(dict.fromkeys(model.summary.protocol for model in single))
    if len(protocols) >= FEWEST_IN_MAP:
        names = list(dict.fromkeys(model.summary.model for model in single))
        means = np.full((len(protocols), len(names)), np.nan)
        for model in single:
            place = protocols.index(model.summary.protocol), names.index(model.summary.model)
            means[place] = model.summary.overall.mean("dice")
        figures.append(heat_map(means, protocols=protocols, columns=names))
    curves = {
        name: curve
        for name in dict.fromkeys(model.summary.model for model in models)
        if (curve := click_curve([one.summary for one in models if one.summary.model == name]))
    }
    if curves:
        figures.append(click_curves(curves))
    return figures
