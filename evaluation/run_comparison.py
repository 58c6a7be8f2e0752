"""The comparison job: read the rows of evaluated runs, compare, write everything down."""

from pathlib import Path
from typing import TYPE_CHECKING

from .config import CompareConfig
from .model_comparison import ModelComparison, compare_models
from .output_folder import check_writable
from .records import read_records_table
from .reports.comparison import write_comparison

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS = "records.parquet"


def compare_runs(config: CompareConfig) -> ModelComparison:
    """Compare runs from the rows of their reports, and write the comparison.

    Raises:
        FileNotFoundError: A folder holds no rows.
        OSError: The comparison cannot be written where it is to lie.
        ValueError: Names do not tell the runs apart, or nothing is left to compare.
    """
    check_writable(Path(config.output))
    tables = _tables(config)
    reference = config.reference or next(iter(tables))
    if reference not in tables:
        raise ValueError(f"reference is {reference}: it must be one of {', '.join(tables)}.")
    comparison = compare_models(
        tables,
        facts={name: {} for name in tables},
        reference=reference,
        bootstrap=config.intervals,
    )
    write_comparison(Path(config.output), comparison)
    return comparison


def _tables(config: CompareConfig) -> dict[str, list["pa.Table"]]:
    """Return the rows of every training of every model, by the model's name."""
    if isinstance(config.runs, dict):
        return {
            name: [
                _rows(folder, config=config)
                for folder in (folders if isinstance(folders, list) else [folders])
            ]
            for name, folders in config.runs.items()
        }
    tables: dict[str, list[pa.Table]] = {}
    for folder in config.runs if isinstance(config.runs, list) else [config.runs]:
        table = _rows(folder, config=config)
        names = table["model"].unique().to_pylist()
        if len(names) != 1 or names[0] in tables:
            raise ValueError(
                f"runs: the rows of {folder} are about {', '.join(names)}, which does not tell the "
                "runs apart. Give names: 'runs={first: FOLDER, second: FOLDER}'."
            )
        tables[names[0]] = [table]
    return tables


def _rows(folder: str, *, config: CompareConfig) -> "pa.Table":
    import pyarrow.compute as pc  # noqa: PLC0415

    places = [Path(folder, RECORDS), Path(folder, "report", RECORDS)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"runs: {folder} holds no {RECORDS}, nor does its report/. Evaluate it first: "
            f"launchers/evaluate_checkpoint.py checkpoint={folder} data=..."
        )
    table = read_records_table(path)
    if config.protocols:
        found = table["protocol"].unique().to_pylist()
        table = table.filter(pc.field("protocol").isin(config.protocols))
        if not len(table):
            raise ValueError(
                f"protocols={config.protocols}: {path} has rows under {', '.join(found)} only."
            )
    return table
