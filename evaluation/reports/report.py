"""The report of an evaluation: a page, the rows, and every number as Parquet, JSON and Markdown.

report.html        everything, for people
records.parquet    one row a question
strata.parquet     every mean and interval; means of single subjects
summary.json       the same but for subjects, and what was measured on
summary.md         the tables
paper.md, .tex     one table
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.confidence_intervals import Interval
from evaluation.measured_rows import MeasuredRows
from evaluation.records import EvaluationRecord, write_records
from evaluation.summary import Summary, subject_means

from .sections import ReportContext, corpus_words, report_page
from .tables import latex_table, markdown_table, overview, tables_of

FOOTER = "Means with intervals by subject-level bootstrap. Research software, not a medical device."


def write_report(
    folder: Path,
    *,
    records: Sequence[EvaluationRecord],
    groups: Sequence[MeasuredRows],
    summaries: Sequence[Summary],
    context: ReportContext,
) -> Path:
    """Write all files of the report; return the page.

    Args:
        folder: Made if need be; files of the same names are replaced.
        records: All rows.
        groups: The same by column, one a model, protocol and tier.
        summaries: What the groups amount to, in their order.
        context: Model and corpora, for the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "records.parquet", records)
    write_strata(folder / "strata.parquet", groups=groups, summaries=summaries)
    content = {
        "summaries": [summary.to_json() for summary in summaries],
        "corpora": [corpus_words(corpus) for corpus in context.corpora],
        "command": context.command,
    }
    _write(folder / "summary.json", json.dumps(content, indent=2))
    _write(folder / "summary.md", _all_tables(summaries))
    write_paper_table(folder, summaries)
    path = folder / "report.html"
    _write(path, report_page(groups, summaries, records=records, context=context))
    return path


def write_paper_table(folder: Path, summaries: Sequence[Summary]) -> None:
    """Write the one table that goes into a paper, in Markdown and in LaTeX."""
    table = overview(summaries)
    _write(folder / "paper.md", f"{markdown_table(table)}\n\n{FOOTER}")
    _write(folder / "paper.tex", latex_table(table))


def write_strata(
    path: Path, *, groups: Sequence[MeasuredRows], summaries: Sequence[Summary]
) -> None:
    """Write every mean as one row: of a metric in a stratum, with its interval."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    for group, summary in zip(groups, summaries, strict=True):
        about = {"model": summary.model, "protocol": summary.protocol, "tier": summary.tier}
        rows += [
            {**about, "by": by, "stratum": name, "metric": metric, **_ends(interval)}
            for by, strata in summary.strata().items()
            for name, stratum in strata.items()
            for metric, interval in stratum.metrics.items()
        ]
        rows += [{**about, "by": "subject", **row} for row in _subject_rows(group)]
    schema = pa.schema(
        [(name, pa.string()) for name in ("model", "protocol", "tier", "by", "stratum", "metric")]
        + [(name, pa.float64()) for name in ("mean", "lower", "upper")]
        + [("num_rows", pa.int64()), ("num_subjects", pa.int64())]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _subject_rows(group: MeasuredRows) -> list[dict[str, Any]]:
    return [
        {"stratum": subject, "metric": metric, "mean": mean, "num_rows": count, "num_subjects": 1}
        for metric, (means, counts) in subject_means(group).items()
        for subject, mean, count in zip(
            group.subject.names.to_pylist(), means.tolist(), counts.tolist(), strict=True
        )
        if count
    ]


def _ends(interval: Interval) -> dict[str, Any]:
    return {
        "mean": interval.mean,
        "lower": interval.lower,
        "upper": interval.upper,
        "num_rows": interval.num_rows,
        "num_subjects": interval.num_subjects,
    }


def _all_tables(summaries: Sequence[Summary]) -> str:
    parts: list[str] = []
    for summary in summaries:
        tier = summary.tier.replace("_", " ")
        parts.append(f"# {summary.model}, {summary.protocol}, {tier}")
        for table in tables_of(summary):
            parts += [f"**{table.caption}**", markdown_table(table)]
    return "\n\n".join([*parts, FOOTER])


def _write(path: Path, content: str) -> None:
    path.write_text(content + "\n", encoding="utf-8")
