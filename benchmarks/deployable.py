"""What a deployable costs: every form, with one thread of the CPU and with two.

Run `python -m benchmarks.deployable FOLDER [FOLDER ...]`. Every row is measured in a process of its
own that holds the folder's `predict.py` and nothing else; ratios are against float32 with the same
number of threads, where the folder has it. Memory is the process's: of float16, which runs on a
GPU, what lies there is not read.
"""

import dataclasses
import sys
from pathlib import Path

from evaluation.deployable.folder import opened_bytes
from evaluation.deployable.measurement import CARD_THREADS, measure_deployable
from evaluation.deployable.predict import read_preprocessing

from .table import Measurement, print_measurements

AIM_MEGABYTES = 40.0
"""Of the files that a prediction opens, for the student."""

AIM_GIBIBYTES = 4.0
"""Of peak memory."""


def main() -> None:
    """Measure every folder and print a table for each."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m benchmarks.deployable FOLDER [FOLDER ...]")
    for folder in map(Path, sys.argv[1:]):
        rows = [
            row
            for form, graphs in read_preprocessing(folder)["graphs"].items()
            for row in _measure(folder, form=form, graphs=graphs)
        ]
        known = {row.name for row in rows}
        shown = [
            row if row.baseline in known else dataclasses.replace(row, baseline=None)
            for row in rows
        ]
        print_measurements(f"Deployable {folder.name}", shown)


def _measure(folder: Path, *, form: str, graphs: dict[str, str]) -> list[Measurement]:
    megabytes = opened_bytes(folder, graphs) / 1e6
    rows = [_row(form, "files opened", megabytes, "MB")]
    for number in CARD_THREADS:
        cost = measure_deployable(folder, form=form, num_threads=number)
        of = f"{number} thread{'s' * (number > 1)}"
        rows += [
            _row(form, f"{of}: first call", cost.first_call_seconds * 1e3, "ms"),
            _row(form, f"{of}: median call", cost.median_seconds * 1e3, "ms"),
            _row(form, f"{of}: 95th percentile", cost.slow_seconds * 1e3, "ms"),
            _row(form, f"{of}: further click", cost.decoding_seconds * 1e3, "ms"),
            _row(form, f"{of}: in batches", cost.images_per_second, "images/s", is_cost=False),
            _row(form, f"{of}: peak memory", cost.peak_memory_bytes / 2**30, "GiB"),
        ]
    return [row for row in rows if row.value > 0]


def _row(form: str, what: str, value: float, unit: str, *, is_cost: bool = True) -> Measurement:
    return Measurement(
        name=f"{form}, {what}",
        value=value,
        unit=unit,
        baseline=None if form == "float32" else f"float32, {what}",
        lower_is_better=is_cost,
        aim={"MB": AIM_MEGABYTES, "GiB": AIM_GIBIBYTES}.get(unit) if form == "float32" else None,
    )


if __name__ == "__main__":
    main()
