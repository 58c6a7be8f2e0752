"""Show what a corpus holds."""

import sys
from pathlib import Path

from rich.console import Console

from launchers.command_line import run_command
from shards import (
    InspectConfig,
    corpus_urls,
    draw_contact_sheet,
    draw_tables,
    open_corpus,
    survey_corpus,
)


def inspect(config: InspectConfig) -> None:
    """Show what a corpus holds: a table, and a sheet of pictures with outlined masks."""
    console = Console()
    urls = corpus_urls(config.url)
    for url in urls:
        corpus = open_corpus(url)
        survey = survey_corpus(corpus, max_samples=config.max_scanned_samples)
        console.print(draw_tables(corpus, survey=survey))
        if config.sheet is None:
            continue
        path = Path(config.sheet)
        if urls != [config.url]:  # a build of several corpora gets one for each split
            path = path.with_stem(f"{path.stem}-{corpus.manifest.split}")
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_contact_sheet(
            corpus,
            num_pictures=config.num_pictures,
            num_columns=config.num_columns,
            tile_pixels=config.tile_pixels,
        ).save(path)
        console.print(f"contact sheet: {path}", markup=False, soft_wrap=True)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(InspectConfig, inspect)


if __name__ == "__main__":
    sys.exit(main())
