"""One row per question that was put to a model: raw counts, distances, and who it was about.

Means, strata and intervals are made later, from rows (`summary`, `confidence_intervals`). A row of
a prompted model is one (model, protocol, image, object); a row of an automatic model is one (model,
protocol, image, category) for every category that the source annotates, so that a false positive on
an image without the category has a row as well.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .training_tiers import UNKNOWN_TIER

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS_FORMAT_VERSION = 3
"""Written into every records file; a newer one is refused."""

WHOLE_CATEGORY = -1
"""`object_index` of an automatic model's row: all objects of the category taken together."""

_ADDED_IN_FORMAT = {2: "presence_logit", 3: "tier"}
"""Columns that tables of earlier formats lack; their defaults stand in."""

RecordIdentity = tuple[str, str, str, str, int, str]
"""(model, protocol, source, key, object_index, category)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRecord:
    """One row. NaN stands for what cannot be measured, never for a bad score."""

    model: str
    """Name under which the model is compared."""

    protocol: str
    """What the ground truth told the model; `protocols.what_is_told` says it in words."""

    source: str
    key: str
    """The image."""

    object_index: int
    """Place of the object among the image's objects, or `WHOLE_CATEGORY`."""

    category: str
    organ: str
    subject: str
    """Known subject, or the image itself where the source names none. Unique within a source."""

    subject_is_known: bool
    split: str
    """Split of the corpus that the row came from."""

    image_rows: int
    image_columns: int
    spacing_row_millimetres: float
    """NaN where the source gives no spacing."""

    spacing_column_millimetres: float
    num_components: int
    """Connected parts of the reference; they are scored as one object."""

    reference_pixels: int
    predicted_pixels: int
    intersection_pixels: int
    dice: float
    """NaN where both masks are empty."""

    iou: float
    hd95_pixels: float
    """Larger of the two directed 95th percentiles of boundary distances.

    The image's diagonal where exactly one mask is empty; NaN where both are.
    """

    hd95_millimetres: float
    """NaN also where the spacing is unknown; so are the other millimetres."""

    average_surface_distance_pixels: float
    average_surface_distance_millimetres: float
    normalised_surface_dice: float
    """Share of both boundaries that lies within `surface_tolerance_pixels` of the other one."""

    normalised_surface_dice_millimetres: float
    """The same with `surface_tolerance_millimetres`."""

    surface_tolerance_pixels: float
    surface_tolerance_millimetres: float
    image_diagonal_pixels: float
    """Distance that stands for a miss: longer than any between two pixels of the image."""

    is_detected: bool
    """The reference is not empty and its intersection over union reaches `detection_iou`."""

    detection_iou: float
    corpus_hash: str = ""
    """Content hash of the manifest that the image was found through."""

    image_position: int = -1
    """Place of the image in its corpus: `corpus.read_flat` reads it again."""

    presence_logit: float = math.nan
    """What the model says about the category being in the image at all, above 0 for yes.

    NaN for a model that does not say, and in tables of format 1.
    """

    tier: str = UNKNOWN_TIER
    """How near the image is to what the model was trained on: a key of `TIERS`."""

    @property
    def identity(self) -> RecordIdentity:
        """Return what no two rows of one evaluation share."""
        return (
            self.model,
            self.protocol,
            self.source,
            self.key,
            self.object_index,
            self.category,
        )

    @property
    def is_miss(self) -> bool:
        """Return whether there was something to find and nothing was found."""
        return self.reference_pixels > 0 and self.predicted_pixels == 0

    @property
    def is_false_positive(self) -> bool:
        """Return whether something was found where the reference is empty."""
        return self.reference_pixels == 0 and self.predicted_pixels > 0


@functools.cache
def record_columns() -> dict[str, type]:
    """Return the columns of a records table and their Python types, in order."""
    return {field.name: field.type for field in dataclasses.fields(EvaluationRecord)}  # pyright: ignore[reportReturnType]


def gather_records(
    records_of_ranks: Iterable[Sequence[EvaluationRecord]],
) -> list[EvaluationRecord]:
    """Join what several ranks measured, in an order that does not depend on their number.

    Raises:
        RuntimeError: A row comes twice, so that means over the rows would be wrong.
    """
    joined = [record for records in records_of_ranks for record in records]
    joined.sort(key=lambda record: record.identity)
    for first, second in itertools.pairwise(joined):
        if first.identity == second.identity:
            raise RuntimeError(
                f"{first.source}/{first.key}: object {first.object_index} ({first.category}) was "
                f"measured twice by {first.model!r} under {first.protocol!r}. "
                "Give each corpus once, and each rank its own number."
            )
    return joined


def table_of(records: Sequence[EvaluationRecord]) -> "pa.Table":
    """Return the rows by column, as Parquet keeps them."""
    import pyarrow as pa  # noqa: PLC0415

    arrow_types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema(
        [(name, arrow_types[kind]) for name, kind in record_columns().items()],
        metadata={"samuspretrain.records": str(RECORDS_FORMAT_VERSION)},
    )
    columns = [
        pa.array([getattr(record, name) for record in records], type=schema.field(name).type)
        for name in schema.names
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def write_records(path: Path, records: Sequence[EvaluationRecord]) -> None:
    """Write rows as one Parquet file, aside first, so that a broken write leaves nothing half."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(table_of(records), partial)
    partial.replace(path)


def read_records(path: Path) -> list[EvaluationRecord]:
    """Read the rows of a Parquet file of `write_records`; errors as `read_records_table`."""
    return [EvaluationRecord(**row) for row in read_records_table(path).to_pylist()]


def read_records_table(path: Path) -> "pa.Table":
    """Read a records file by column; a million rows take about a second.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no records table, or one of a newer format.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no records file. launchers/evaluate_checkpoint.py writes one."
        )
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error}).") from error
    return _in_present_format(table, path=path)


def _in_present_format(table: "pa.Table", *, path: Path) -> "pa.Table":
    """Return the known columns in their order; what an earlier format lacks has its default."""
    import pyarrow as pa  # noqa: PLC0415

    version = int((table.schema.metadata or {}).get(b"samuspretrain.records", b"0"))
    later = {name for since, name in _ADDED_IN_FORMAT.items() if 0 < version < since}
    missing = [name for name in record_columns() if name not in {*table.column_names, *later}]
    if version > RECORDS_FORMAT_VERSION:
        raise ValueError(
            f"{path}: records format {version}, this version reads up to "
            f"{RECORDS_FORMAT_VERSION}. Read it with a newer samuspretrain."
        )
    if version == 0 or missing:
        raise ValueError(
            f"{path}: not a table of evaluation records (missing columns: "
            f"{', '.join(missing) or 'none'}). launchers/evaluate_checkpoint.py writes one."
        )
    for name in sorted(later):
        default: Any = EvaluationRecord.__dataclass_fields__[name].default
        table = table.append_column(name, pa.repeat(default, len(table)))
    return table.select(list(record_columns()))
