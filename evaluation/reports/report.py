"""The report of an evaluation: a page, the rows, and every number as Parquet, JSON and Markdown.

report.html        everything, for people
records.parquet    one row a question
strata.parquet     every mean and interval; and the other files of `parquet_files`
summary.json       the same but for subjects, and what was measured on
summary.md         the tables
paper.md, .tex     one table
"""

import json
from collections.abc import Sequence
from pathlib import Path

from evaluation.measured_rows import MeasuredRows
from evaluation.records import EvaluationRecord, write_records
from evaluation.summary import Summary

from .parquet_files import write_parquet_files
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
    write_parquet_files(folder, groups=groups, summaries=summaries)
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
