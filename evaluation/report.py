"""The report of an evaluation: a page, the rows, and every number as JSON and Markdown."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from shards import Corpus

from .case_gallery import Case, choose_cases, predict_cases
from .evaluate import EvaluationOptions
from .overlays import draw_answer, picture_as_data_uri
from .predictor import Predictor
from .protocols import AUTOMATIC_PROTOCOL, PROTOCOLS
from .records import EvaluationRecord, write_records
from .report_figures import MOST_POINTS, dice_against_size, dice_by_category
from .report_page import bullets, card, definitions, html_table, page, text, tile
from .report_tables import format_interval, format_value, markdown_table, tables_of
from .summary import Summary

_logger = logging.getLogger(__name__)

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


def write_report(
    folder: Path,
    *,
    records: Sequence[EvaluationRecord],
    summaries: Sequence[Summary],
    context: ReportContext,
) -> Path:
    """Write `report.html`, `records.parquet`, `summary.json` and `summary.md`; return the page.

    Args:
        folder: Made if need be; files of the same names are replaced.
        records: All rows.
        summaries: What they amount to, one a model and protocol.
        context: Model and corpora, for the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "records.parquet", records)
    content = {
        "summaries": [summary.to_json() for summary in summaries],
        "corpora": [_corpus_words(corpus) for corpus in context.corpora],
        "command": context.command,
    }
    (folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "summary.md").write_text(_markdown(summaries), encoding="utf-8")
    path = folder / "report.html"
    path.write_text(_html(records, summaries, context), encoding="utf-8")
    return path


def _html(
    records: Sequence[EvaluationRecord], summaries: Sequence[Summary], context: ReportContext
) -> str:
    sections = [_tiles(summaries[0])]
    for summary in summaries:
        rows = [
            row for row in records if (row.model, row.protocol) == (summary.model, summary.protocol)
        ]
        sections.append(_protocol_section(rows, summary, context))
    sections += [_claims(), _terms(records[0], summaries[0]), _recomputing(context)]
    sources = sorted({row.source for row in records})
    return page(
        title=f"How well {context.model_name} segments",
        subtitle=f"Held-out images of {', '.join(sources)}",
        body="\n".join(sections),
    )


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


def _protocol_section(
    records: Sequence[EvaluationRecord], summary: Summary, context: ReportContext
) -> str:
    if summary.protocol == AUTOMATIC_PROTOCOL:
        told = "nothing: the model answers by itself for every category that a source annotates"
    else:
        told = PROTOCOLS[summary.protocol].tells
    parts = [
        f"<h2>{text(summary.model)}, {text(summary.protocol)}</h2>",
        f'<p class="soft">What the ground truth tells the model: {text(told)}.</p>',
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
    by_category = dice_by_category(records, summary=summary) + _figure_key(len(records))
    parts.append(
        f'<div class="figures">{card(by_category)}{card(dice_against_size(records))}</div>'
    )
    return "\n".join([*parts, _gallery(records, context)])


def _figure_key(num_rows: int) -> str:
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
        ("Dice, IoU", "Overlap on the original pixel grid; logits are resized, then cut once at 0. "
         "Two empty masks have no score and stay out of the mean."),
        ("HD95", "The larger of the two directed 95th percentiles of the distance between boundary "
         "pixels (mask minus its 4-neighbour erosion). A miss counts as the image's diagonal."),
        ("ASSD", "Mean distance of the boundary pixels of both masks to the other boundary."),
        ("Surface Dice", "Share of both boundaries within "
         f"{record.surface_tolerance_pixels:g} pixels "
         f"({record.surface_tolerance_millimetres:g} mm) of the other."),
        ("Detected", f"Structures whose IoU is at least {record.detection_iou:g}. Missed: nothing "
         "was marked. False positives: share of the rows without a structure where something was "
         "marked."),
        ("Intervals", f"{100 * options.confidence:g} % {options.method} bootstrap of the mean over "
         f"rows, {options.num_resamples:,} times drawing subjects with all their rows. Images "
         "whose subject is unknown are subjects of their own, which makes intervals too narrow "
         f"where subjects recur ({summary.overall.num_unknown_subjects} here)."),
    ]  # fmt: skip
    return f"<h2>What the words mean</h2>{card(definitions(entries))}"


def _recomputing(context: ReportContext) -> str:
    code = (
        "from pathlib import Path\n"
        "from evaluation import read_records, summarise_each\n"
        'summaries = summarise_each(read_records(Path("records.parquet")))'
    )
    corpora = [
        f"{words['url']}: {words['num_images']} images, content hash {words['content_hash']}"
        for words in map(_corpus_words, context.corpora)
    ]
    return "<h2>How to compute it again</h2>" + card(
        f"<p>The same rows from the model:</p><pre>{text(context.command)}</pre>"
        f"<p>The same means and intervals from the rows beside this page:</p>"
        f"<pre>{text(code)}</pre><p>Measured on:</p>{bullets(corpora)}"
    )


def _corpus_words(corpus: Corpus) -> dict[str, object]:
    return {
        "url": corpus.url,
        "split": corpus.manifest.split,
        "content_hash": corpus.manifest.content_hash,
        "num_images": corpus.num_samples,
        "num_objects": corpus.manifest.num_objects,
    }


def _markdown(summaries: Sequence[Summary]) -> str:
    parts: list[str] = []
    for summary in summaries:
        parts.append(f"# {summary.model}, {summary.protocol}")
        for table in tables_of(summary):
            parts += [f"**{table.caption}**", markdown_table(table)]
    parts.append(
        "Means with intervals by subject-level bootstrap. Research software, not a medical device."
    )
    return "\n\n".join(parts) + "\n"
