"""What a corpus holds, as tables for people."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from .contact_sheet import pick_evenly
from .shard_reader import Corpus


@dataclass(kw_only=True)
class CorpusSurvey:
    """What the annotations of (some of) the samples say; no image is decoded for it."""

    num_empty: Counter[str] = field(default_factory=Counter)
    """Source -> scanned images without an object."""

    sizes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Source -> rows and columns as published."""

    num_with_spacing: Counter[str] = field(default_factory=Counter)
    area_shares: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """(source, category) -> share of the image that each object covers."""

    num_in_pieces: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(source, category) -> objects of more than one component."""


def survey_corpus(corpus: Corpus, *, max_samples: int) -> CorpusSurvey:
    """Read the annotations of at most `max_samples` samples, evenly over sources and corpus."""
    survey = CorpusSurvey()
    for index in pick_evenly(corpus, num_samples=min(max_samples, corpus.num_samples)):
        objects, origin = corpus.read_annotations(*corpus.address(index))
        survey.num_empty[origin.source] += not objects
        survey.num_with_spacing[origin.source] += origin.spacing_millimetres is not None
        survey.sizes[origin.source].append(origin.original_size)
        for thing in objects:
            name = (origin.source, thing.category)
            share = thing.rle.area_pixels() / (thing.rle.rows * thing.rle.columns)
            survey.area_shares[name].append(share)
            survey.num_in_pieces[name] += thing.num_components > 1
    return survey


def draw_tables(corpus: Corpus, *, survey: CorpusSurvey) -> Group:
    """Return the totals, and tables of the sources, their images and their categories."""
    manifest = corpus.manifest
    num_bytes = sum(entry.num_bytes for entry in manifest.shards)
    totals = (
        f"{corpus.url}\n{manifest.num_samples} images, {manifest.num_objects} objects, "
        f"{len(manifest.shards)} shards, {num_bytes:,} bytes\n"
        f"content hash {manifest.content_hash}\n"
    )
    return Group(
        Text(totals),
        _source_table(corpus),
        _image_table(corpus, survey=survey),
        _category_table(corpus, survey=survey),
    )


def _source_table(corpus: Corpus) -> Table:
    table = Table(title="sources", box=box.SIMPLE_HEAD)
    for name in ("source", "licence"):
        table.add_column(name, overflow="fold")
    for name in ("images", "objects", "subjects", "of them unknown"):
        table.add_column(name, justify="right")
    for source in corpus.manifest.sources:
        table.add_row(
            source.name,
            source.licence,
            str(source.num_samples),
            str(source.num_objects),
            str(source.num_subjects),
            str(source.num_unknown_subjects),
        )
    return table


def _image_table(corpus: Corpus, *, survey: CorpusSurvey) -> Table:
    table = Table(title="images", box=box.SIMPLE_HEAD)
    table.add_column("source", overflow="fold")
    for name in ("scanned", "rows", "columns", "without object", "with spacing"):
        table.add_column(name, justify="right")
    for source in corpus.manifest.sources:
        sizes = survey.sizes[source.name]
        table.add_row(
            source.name,
            str(len(sizes)),
            _range([rows for rows, _ in sizes]),
            _range([columns for _, columns in sizes]),
            str(survey.num_empty[source.name]),
            str(survey.num_with_spacing[source.name]),
        )
    return table


def _category_table(corpus: Corpus, *, survey: CorpusSurvey) -> Table:
    table = Table(title="categories", box=box.SIMPLE_HEAD)
    for name in ("category", "source"):
        table.add_column(name, overflow="fold")
    for name in ("objects", "in pieces", "median area", "smallest"):
        table.add_column(name, justify="right")
    for source in corpus.manifest.sources:
        for category in source.categories:
            shares = survey.area_shares.get((source.name, category), [])
            table.add_row(
                category,
                source.name,
                str(len(shares)),
                str(survey.num_in_pieces[source.name, category]),
                f"{100 * float(np.median(shares)):.2f} %" if shares else "-",
                f"{100 * min(shares):.3f} %" if shares else "-",
            )
    return table


def _range(values: list[int]) -> str:
    if not values:
        return "-"
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"
