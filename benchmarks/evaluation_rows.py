"""How long means and intervals of very many rows take.

Run `python -m benchmarks.evaluation_rows [ROWS]`; a million rows by default, about as many subjects
as rows (the slowest case) and a fiftieth of that.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.measured_rows import measured_rows
from evaluation.paired_difference import difference_of
from evaluation.records import RECORDS_FORMAT_VERSION, read_records_table, record_columns
from evaluation.summary import summarise_measured

from .table import Measurement, print_measurements

AIM_SECONDS = 30.0

Result = TypeVar("Result")


def main() -> None:
    """Measure and print the table."""
    num_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rows: list[Measurement] = []
    for num_subjects in (num_rows, max(2, num_rows // 50)):
        with tempfile.TemporaryDirectory(prefix="evaluation-rows-") as folder:
            path = Path(folder, "records.parquet")
            pq.write_table(_some_rows(num_rows, num_subjects=num_subjects), path)
            rows += _measure(path, name=f"{num_rows:,} rows of {num_subjects:,} subjects")
    print_measurements("Numbers of an evaluation, from the file of its rows", rows)


def _measure(path: Path, *, name: str) -> list[Measurement]:
    table, reading = _timed(lambda: read_records_table(path))
    (group,), sorting = _timed(lambda: measured_rows(table))
    _, summarising = _timed(lambda: summarise_measured(group))
    _, pairing = _timed(lambda: difference_of(group, group))
    phases = {
        "reading": reading,
        "sorting by column": sorting,
        "every mean, stratum and interval": summarising,
        "one paired difference": pairing,
    }
    return [
        *(
            Measurement(name=f"{name}: {phase}", value=seconds, unit="s")
            for phase, seconds in phases.items()
        ),
        Measurement(
            name=f"{name}: together", value=sum(phases.values()), unit="s", aim=AIM_SECONDS
        ),
    ]


def _timed(task: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = task()
    return result, time.perf_counter() - start


def _some_rows(num_rows: int, *, num_subjects: int) -> pa.Table:
    """Return rows of three sources and five categories with made-up numbers."""
    generator = np.random.default_rng(0)
    numbers = np.arange(num_rows)
    sources = np.array(["first", "second", "third"])[numbers % 3]
    keys = [f"{source}__{number}" for source, number in zip(sources, numbers, strict=True)]
    words = {
        "model": "a_model",
        "protocol": "box",
        "tier": "held_out_subjects",
        "organ": "organ",
        "split": "test",
        "corpus_hash": "hash",
    }
    columns = {name: pa.repeat(word, num_rows) for name, word in words.items()}
    columns |= {
        "source": pa.array(sources),
        "key": pa.array(keys),
        "category": pa.array(np.array(list("abcde"))[generator.integers(5, size=num_rows)]),
        "subject": pa.array([str(number % num_subjects) for number in numbers.tolist()]),
    }
    for name, kind in record_columns().items():
        if name in columns:
            continue
        if kind is float:
            columns[name] = pa.array(generator.random(num_rows))
        elif kind is bool:
            columns[name] = pa.array(generator.random(num_rows) < 0.5)
        else:
            columns[name] = pa.array(generator.integers(1, 10_000, size=num_rows))
    version = {"samuspretrain.records": str(RECORDS_FORMAT_VERSION)}
    return pa.table({name: columns[name] for name in record_columns()}, metadata=version)


if __name__ == "__main__":
    main()
