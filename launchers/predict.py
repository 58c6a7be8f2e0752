"""Segment images, DICOM files and videos."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console

from evaluation import PredictConfig
from launchers.command_line import run_command

if TYPE_CHECKING:
    from evaluation import SegmentedFile

FILES_FAILED = 1
"""Exit code when some files of a folder could not be segmented."""


def predict(config: PredictConfig) -> int:
    """Segment images, DICOM files and videos, by prompts or without; not a medical device."""
    from rich.markup import escape
    from rich.progress import Progress

    from evaluation import plan_segmentation, segment_files, tables_of

    console = Console(highlight=False, markup=False, soft_wrap=True)
    job = plan_segmentation(config)
    failed: list[SegmentedFile] = []
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("segment", total=len(job.files))

        def show(name: str, frame: int) -> None:
            bar.update(task, description=escape(f"{name} frame {frame}"))

        for result in segment_files(job, on_frame=show):
            bar.advance(task)
            if result.error is None:
                _describe(result, console=console, is_alone=len(job.files) == 1)
            else:
                failed.append(result)
    if len(failed) < len(job.files):
        for path in tables_of(job):
            console.print(f"all masks: {path}")
    if failed:
        console.print(f"{len(failed)} of {len(job.files)} files could not be segmented:")
        for result in failed:
            console.print(f"  {result.error}")
        return FILES_FAILED
    return 0


def _describe(result: "SegmentedFile", *, console: Console, is_alone: bool) -> None:
    if is_alone and len({row.frame for row in result.rows}) == 1:
        for row in result.rows:
            share = row.num_pixels / (row.size[0] * row.size[1])
            console.print(f"{row.name}: {row.num_pixels} pixels ({share:.1%} of the image)")
        for path in result.written:
            console.print(f"  {path}")
    else:
        num_found = sum(row.num_pixels > 0 for row in result.rows)
        console.print(
            f"{result.path}: {num_found} of {len(result.rows)} masks are not empty, "
            f"{len(result.written)} files"
        )
    for note in result.notes:
        console.print(f"  {note}")


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(PredictConfig, predict)


if __name__ == "__main__":
    sys.exit(main())
