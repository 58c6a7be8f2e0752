"""How every benchmark shows what it measured: ratios against a baseline of the same run."""

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from evaluation.deployable.measurement import processor_name


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One row: what was measured, and what it is compared with."""

    name: str
    value: float
    unit: str
    baseline: str | None = None
    """Name of the row that the ratio is taken against; None for a baseline itself."""

    lower_is_better: bool = False
    aim: float | None = None
    """The ratio that DESIGN section 8 aims at; without a baseline, the value."""


def print_measurements(title: str, measurements: Sequence[Measurement]) -> None:
    """Print a table with the ratios, better than the baseline being above 1, and the machine."""
    values = {one.name: one.value for one in measurements}
    table = Table(title=title, caption=machine_line())
    for heading in ("what", "value", "unit", "ratio", "against", "aim"):
        table.add_column(heading, justify="left" if heading in ("what", "against") else "right")
    for one in measurements:
        ratio = ""
        if one.baseline is not None:
            ratio = f"{ratio_of(one, baseline=values[one.baseline]):.2f}x"
        aim = "" if one.aim is None else f"{one.aim:g}{'x' if one.baseline else ''}"
        table.add_row(one.name, f"{one.value:.4g}", one.unit, ratio, one.baseline or "", aim)
    Console(width=120).print(table)


def ratio_of(measurement: Measurement, *, baseline: float) -> float:
    """Return how many times better than the baseline a measurement is."""
    if measurement.lower_is_better:
        return baseline / measurement.value
    return measurement.value / baseline


def machine_line() -> str:
    """Name the machine, the day and the load that the numbers stand for."""
    num_cores = len(os.sched_getaffinity(0))
    return (
        f"{datetime.datetime.now(tz=datetime.UTC).date()}, {processor_name()}, {num_cores} cores, "
        f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}"
    )
