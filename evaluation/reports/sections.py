"""What stands on the page of a report, from top to bottom."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from evaluation.confidence_intervals import Interval
from evaluation.measured_rows import MeasuredRows
from evaluation.predictor import Predictor
from evaluation.protocols import (
    CLICKS_PROTOCOL,
    MORE_PROTOCOLS,
    is_after_clicks,
    num_clicks_of,
    what_is_told,
)
from evaluation.questions import EvaluationOptions
from evaluation.records import EvaluationRecord
from evaluation.summary import Summary
from evaluation.training_tiers import TIERS
from shards import Corpus

from .case_gallery import Case, choose_cases, predict_cases
from .figures import (
    MOST_POINTS,
    click_curves,
    dice_against_size,
    dice_by_category,
    heat_map,
    presence_calibration,
    presence_roc,
)
from .overlays import draw_answer, picture_as_data_uri
from .page import bullets, card, definitions, html_table, page, text, tile
from .published_figures import PUBLISHED, published_table
from .tables import format_interval, format_value, overview, tables_of

NOT_CLAIMED = (
    "Not a medical device. Nothing here shows that the model is safe or useful in patients.",
    "The scores hold for images like these: these sources, scanners and annotators, and this "
    "protocol. An interval says how much other subjects of the same sources would move the mean, "
    "and nothing about other hospitals or scanners.",
    "A prompted model is told where to look; its scores cannot be read as finding something "
    "unaided. What the reference told the model stands under each protocol's name.",
    "The Hausdorff distances published for the SAMUS family are not comparable: their code takes "
    "the rows of a mask for points.",
)

FEWEST_IN_MAP = 3
"""Protocols from which on a heat map shows more than the table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportContext:
    """What the report needs beside the rows, to draw cases and to say how to measure again."""

    model_name: str
    command: str
    """The command that computes the same rows again."""

    corpora: tuple[Corpus, ...]
    predictor: Predictor
    options: EvaluationOptions
    num_gallery_cases: int = 4
    """Pictures each of the best, median and worst cases of a protocol; 0 draws none."""

    published: str | None = None
    """A key of `PUBLISHED`."""


def report_page(
    groups: Sequence[MeasuredRows],
    summaries: Sequence[Summary],
    *,
    records: Sequence[EvaluationRecord],
    context: ReportContext,
) -> str:
    """Return the whole page.

    Args:
        groups: Rows by column, one a model, protocol and tier.
        summaries: What the groups amount to, in their order.
        records: All rows, to choose cases from.
        context: Model and corpora, for the pictures.
    """
    sections = [_tiles(summaries[0])]
    if len(summaries) > 1:
        sections += ["<h2>All protocols and tiers</h2>", html_table(overview(summaries))]
        sections += [_comparing_protocols(summaries, tier=tier) for tier in TIERS]
    if context.published is not None:
        sections.append(_published(groups, summaries[0], name=context.published))
    for group, summary in zip(groups, summaries, strict=True):
        if not is_after_clicks(summary.protocol):  # their curve says it all
            sections.append(_protocol_section(group, summary, records=records, context=context))
    sections += [_claims(), _terms(records[0], summaries[0]), _recomputing(context)]
    sources = sorted({row.source for row in records})
    return page(
        title=f"How well {context.model_name} segments",
        subtitle=f"Held-out images of {', '.join(sources)}",
        body="\n".join(sections),
    )


def corpus_words(corpus: Corpus) -> dict[str, object]:
    """Return what identifies a corpus."""
    return {
        "url": corpus.url,
        "split": corpus.manifest.split,
        "content_hash": corpus.manifest.content_hash,
        "num_images": corpus.num_samples,
        "num_objects": corpus.manifest.num_objects,
    }


def click_curve(summaries: Sequence[Summary]) -> dict[int, Interval]:
    """Return the mean Dice after each number of clicks; empty without the protocol."""
    return {
        num_clicks: summary.overall.metrics["dice"]
        for summary in summaries
        if (num_clicks := num_clicks_of(summary.protocol))
    }


def _tiles(summary: Summary) -> str:
    overall = summary.overall
    tiles = [
        _metric_tile(summary, "dice", label="mean Dice"),
        _metric_tile(summary, "hd95_pixels", label="mean HD95, pixels"),
        _metric_tile(summary, "detection_rate", label="detected"),
        tile(
            value=f"{overall.num_rows:,}",
            label="rows scored",
            detail=f"{overall.num_images:,} images, {overall.num_subjects:,} subjects",
        ),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _metric_tile(summary: Summary, name: str, *, label: str) -> str:
    interval = summary.overall.metrics.get(name)
    _, bracket, bounds = format_interval(name, interval).partition(" [")
    confidence = f"{100 * summary.bootstrap.confidence:g} %"
    return tile(
        value=format_value(name, summary.overall.mean(name)),
        label=f"{label} ({summary.protocol})",
        detail=f"{confidence} interval [{bounds}" if bracket else "",
    )


def _comparing_protocols(summaries: Sequence[Summary], *, tier: str) -> str:
    """Return the heat map and the click curve of one tier, where it has enough for them."""
    here = [summary for summary in summaries if summary.tier == tier]
    single = [summary for summary in here if not is_after_clicks(summary.protocol)]
    figures: list[str] = []
    if len(single) >= FEWEST_IN_MAP:
        categories = sorted({name for summary in single for name in summary.by_category})
        means = [
            [
                summary.overall.mean("dice"),
                *(
                    summary.by_category[name].mean("dice")
                    if name in summary.by_category
                    else math.nan
                    for name in categories
                ),
            ]
            for summary in single
        ]
        protocols = [summary.protocol for summary in single]
        columns = ["all", *categories]
        figures.append(heat_map(np.array(means), protocols=protocols, columns=columns))
    words = "Mean Dice by protocol and category"
    if curve := click_curve(here):
        figures.append(click_curves({here[0].model: curve}))
        words += f"; with k clicks, after each one ({MORE_PROTOCOLS[CLICKS_PROTOCOL]})"
    if not figures:
        return ""
    return (
        f"<h3>How much depends on the prompt: {text(TIERS[tier])}</h3>"
        f'<p class="soft">{text(words)}.</p>'
        f'<div class="figures">{"".join(map(card, figures))}</div>'
    )


def _published(groups: Sequence[MeasuredRows], summary: Summary, *, name: str) -> str:
    figures = PUBLISHED[name]
    table = published_table(figures, groups, bootstrap=summary.bootstrap)
    return (
        f"<h2>Beside published figures</h2><h3>{text(table.caption)}</h3>{html_table(table)}"
        f"<p>What is not comparable:</p>{card(bullets(figures.caveats), kind='note')}"
    )


def _protocol_section(
    rows: MeasuredRows,
    summary: Summary,
    *,
    records: Sequence[EvaluationRecord],
    context: ReportContext,
) -> str:
    parts = [
        f"<h2>{text(summary.model)}, {text(summary.protocol)}</h2>",
        f'<p class="soft">What the ground truth tells the model: '
        f"{text(what_is_told(summary.protocol))}.<br>"
        f"{text(TIERS[summary.tier].capitalize())}.</p>",
    ]
    for table in tables_of(summary):
        parts += [f"<h3>{text(table.caption)}</h3>", html_table(table)]
    overall = summary.overall
    if overall.num_misses or overall.num_false_positives:
        parts.append(
            f'<p class="soft">Structures missed: {overall.num_misses}. Answers that found '
            f"something where nothing is annotated: {overall.num_false_positives}. Their distances "
            "count as the image's diagonal.</p>"
        )
    parts.append(_figures(rows, summary))
    mine = (summary.model, summary.protocol, summary.tier)
    chosen = [row for row in records if (row.model, row.protocol, row.tier) == mine]
    return "\n".join([*parts, _gallery(chosen, context)])


def _figures(rows: MeasuredRows, summary: Summary) -> str:
    figures = [dice_by_category(rows, summary=summary) + figure_key(len(rows))]
    if rows.has_reference.any():
        figures.append(dice_against_size(rows))
    if summary.calibration is not None:
        figures.append(
            presence_calibration(summary.calibration)
            + '<p class="soft">Presence: how often a category is there against how sure the model '
            "is; on the line it can be believed. Larger dots are more images. Expected error "
            f"{summary.calibration.expected_error:.3f}, Brier score "
            f"{summary.calibration.brier_score:.3f}.</p>"
        )
    if summary.presence:
        figures.append(
            presence_roc(rows)
            + '<p class="soft">Presence: ROC of each category within one source.</p>'
        )
    return f'<div class="figures">{"".join(map(card, figures))}</div>'


def figure_key(num_rows: int) -> str:
    """Return what the dots of a figure are, and whether all of them are drawn."""
    thinning = (
        f" Of more than {MOST_POINTS:,} rows of a category or source every n-th is drawn."
        if num_rows > MOST_POINTS
        else ""
    )
    return (
        '<p class="soft">Each dot is a row. Bar and line: quartiles and median. '
        f"Diamond: mean with its interval.{thinning}</p>"
    )


def _gallery(records: Sequence[EvaluationRecord], context: ReportContext) -> str:
    """Return the pictures; one prediction more for each of these few rows."""
    parts: list[str] = []
    for group, chosen in choose_cases(records, count=context.num_gallery_cases).items():
        cases = predict_cases(
            chosen,
            predictor=context.predictor,
            corpora=context.corpora,
            options=context.options,
        )
        if cases:
            parts += [f"<h3>{group.capitalize()} cases by Dice</h3>", '<div class="cases">']
            parts += [*(_figure(case) for case in cases), "</div>"]
    if parts:
        parts.insert(0, _outline_key())
    return "\n".join(parts)


def _outline_key() -> str:
    return (
        '<p class="key"><span><i style="background:var(--reference)"></i>reference</span>'
        '<span><i style="background:var(--prediction)"></i>prediction</span>'
        '<span class="soft">white: the prompt</span></p>'
    )


def _figure(case: Case) -> str:
    record = case.record
    picture = picture_as_data_uri(draw_answer(case.answer))
    distance = format_value("hd95_pixels", record.hd95_pixels)
    name = f"{record.key}, {record.category}"
    return (
        f'<figure class="card"><img src="{picture}" alt="{text(name)}">'
        f"<figcaption><b>Dice {record.dice:.3f}</b> &nbsp;HD95&nbsp;{distance}&nbsp;px<br>"
        f'<span class="soft">{text(name)}</span></figcaption></figure>'
    )


def _claims() -> str:
    return f"<h2>What this does not show</h2>{card(bullets(NOT_CLAIMED), kind='note')}"


def _terms(record: EvaluationRecord, summary: Summary) -> str:
    options = summary.bootstrap
    entries = [
        ("Row", "One object of one image, or, for a model without prompts, one category of one "
         "image, whether it is there or not."),
        ("Tier", "; ".join(f"{name.replace('_', ' ')}: {words}" for name, words in TIERS.items())
         + ". Tiers are never averaged."),
        ("Dice, IoU", "Overlap on the original pixel grid; logits are resized, then cut once at 0. "
         "Two empty masks have no score and stay out of the mean."),
        ("HD95", "The larger of the two directed 95th percentiles of the distance between boundary "
         "pixels (mask minus its 4-neighbour erosion). A miss counts as the image's diagonal."),
        ("ASSD", "Mean distance of the boundary pixels of both masks to the other boundary."),
        ("Surface Dice", "Share of both boundaries within "
         f"{record.surface_tolerance_pixels:g} pixels "
         f"({record.surface_tolerance_millimetres:g} mm) of the other."),
        ("Area error", "How much the marked area differs from the structure's, as a share of it; "
         "the bias keeps the sign, above 0 for too much."),
        ("Detected", f"Structures whose IoU is at least {record.detection_iou:g}. Missed: nothing "
         "was marked. False positives: share of the rows without a structure where something was "
         "marked. FP per empty image: categories marked on an image that has none of them."),
        ("Intervals", f"{100 * options.confidence:g} % {options.method} bootstrap of the mean over "
         f"rows, {options.num_resamples:,} times drawing subjects with all their rows. Images "
         "whose subject is unknown are subjects of their own, which makes intervals too narrow "
         f"where subjects recur ({summary.overall.num_unknown_subjects} here)."),
    ]  # fmt: skip
    return f"<h2>What the words mean</h2>{card(definitions(entries))}"


def _recomputing(context: ReportContext) -> str:
    code = (
        "from pathlib import Path\n"
        "from evaluation import read_records_table, summarise_each\n"
        'summaries = summarise_each(read_records_table(Path("records.parquet")))'
    )
    corpora = [
        f"{words['url']}: {words['num_images']} images, content hash {words['content_hash']}"
        for words in map(corpus_words, context.corpora)
    ]
    return "<h2>How to compute it again</h2>" + card(
        f"<p>The same rows from the model:</p><pre>{text(context.command)}</pre>"
        f"<p>The same means and intervals from the rows beside this page:</p>"
        f"<pre>{text(code)}</pre><p>Measured on:</p>{bullets(corpora)}"
    )
