"""Rows by column: what means, strata and differences are computed from, a million in seconds.

Axis names used in this file:
    row   one evaluation record
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from .records import WHOLE_CATEGORY, EvaluationRecord, table_of

OBJECT = ("source", "key", "object_index", "category")
"""Columns that name what a row is about, whoever was asked."""

AS_RECORDED = (
    "dice",
    "iou",
    "hd95_pixels",
    "hd95_millimetres",
    "average_surface_distance_pixels",
    "average_surface_distance_millimetres",
    "normalised_surface_dice",
    "normalised_surface_dice_millimetres",
)
"""Metrics that a record holds as they are; the others follow from its counts."""

Rows = Sequence[EvaluationRecord] | pa.Table


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """What each row belongs to, as a place in a sorted array of names."""

    codes: Int[np.ndarray, " row"]
    names: pa.Array

    def at(self, chosen: np.ndarray) -> "Labels":
        """Return the labels of some rows; all names stay."""
        return Labels(codes=self.codes[chosen], names=self.names)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRows:
    """Rows of one model under one protocol in one tier, ordered by what they are about."""

    model: str
    protocol: str
    tier: str
    objects: pa.Table
    """The columns of `OBJECT`."""

    source: Labels
    category: Labels
    subject: Labels
    """Subjects of two sources are never the same one."""

    image: Int[np.ndarray, " row"]
    """Number of the row's image."""

    image_is_empty: Bool[np.ndarray, " row"]
    """Nothing that was asked about is in the row's image."""

    subject_is_known: Bool[np.ndarray, " row"]
    has_reference: Bool[np.ndarray, " row"]
    share_of_image: Float[np.ndarray, " row"]
    """The reference's share of the image's pixels."""

    presence_logit: Float[np.ndarray, " row"]
    values: dict[str, Float[np.ndarray, " row"]]
    """Metrics by name; NaN where a row cannot be measured."""

    def __len__(self) -> int:
        return len(self.has_reference)

    @property
    def is_by_category(self) -> bool:
        """Whether the rows are about categories of images rather than about single objects."""
        return bool((np.asarray(self.objects["object_index"]) == WHOLE_CATEGORY).all())

    def at(self, chosen: np.ndarray) -> "MeasuredRows":
        """Return some of the rows, by place or by claim."""
        parts = (
            "image",
            "image_is_empty",
            "subject_is_known",
            "has_reference",
            "share_of_image",
            "presence_logit",
        )
        labels = ("source", "category", "subject")
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return dataclasses.replace(
            self,
            objects=self.objects.take(places),
            values={name: value[places] for name, value in self.values.items()},
            **{name: getattr(self, name).at(places) for name in labels},
            **{name: getattr(self, name)[places] for name in parts},
        )


def measured_rows(rows: Rows) -> list[MeasuredRows]:
    """Return the rows of every (model, protocol, tier), in alphabetical order.

    Args:
        rows: Records, or a table of them; their order does not matter.

    Raises:
        ValueError: A model has two rows about one object, so that a mean would count it twice.
    """
    table = table_of(rows) if isinstance(rows, Sequence) else rows
    group = ("model", "protocol", "tier")
    table = table.sort_by([(name, "ascending") for name in (*group, *OBJECT)]).combine_chunks()
    starts = np.flatnonzero(_begins(table, group))
    return [
        _measured(part)
        for part in map(table.slice, starts.tolist(), np.diff(starts, append=len(table)).tolist())
    ]


def common_rows(
    first: MeasuredRows, second: MeasuredRows
) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " row"]]:
    """Return the places, in each of the two, of the rows about what both were asked about."""
    places = [
        rows.objects.append_column(name, pa.array(np.arange(len(rows))))
        for rows, name in ((first, "first"), (second, "second"))
    ]
    joined = places[0].join(places[1], keys=list(OBJECT), join_type="inner")
    joined = joined.sort_by("first")
    return joined["first"].to_numpy(), joined["second"].to_numpy()


def lone_objects(rows: MeasuredRows) -> MeasuredRows:
    """Return the rows about a category of which the image has one row, under that name alone.

    Of several objects of a category, which only a prompted model has rows for, none is returned; an
    automatic model's row about them then finds no partner.
    """
    combined = rows.image * len(rows.category.names) + rows.category.codes
    _, places, counts = np.unique(combined, return_inverse=True, return_counts=True)
    kept = rows.at(counts[places] == 1)
    place = kept.objects.schema.get_field_index("object_index")
    same = pa.repeat(pa.scalar(0, pa.int64()), len(kept))
    return dataclasses.replace(kept, objects=kept.objects.set_column(place, "object_index", same))


def _measured(table: pa.Table) -> MeasuredRows:
    if not _begins(table, OBJECT).all():
        raise ValueError(
            f"An object has two rows of {table['model'][0]} under {table['protocol'][0]}. Give the "
            "rows of one evaluation, and each corpus once."
        )
    reference, predicted = _floats(table, "reference_pixels"), _floats(table, "predicted_pixels")
    pixels = _floats(table, "image_rows") * _floats(table, "image_columns")
    presence, has_reference = _floats(table, "presence_logit"), reference > 0
    image = np.cumsum(_begins(table, ("source", "key"))) - 1
    return MeasuredRows(
        model=table["model"][0].as_py(),
        protocol=table["protocol"][0].as_py(),
        tier=table["tier"][0].as_py(),
        objects=table.select(list(OBJECT)),
        source=_labels(table, "source"),
        category=_labels(table, "category"),
        image=image,
        image_is_empty=(np.bincount(image, weights=has_reference) == 0)[image],
        subject=_labels(table, "source", "subject"),
        subject_is_known=np.asarray(table["subject_is_known"]).astype(bool),
        has_reference=has_reference,
        share_of_image=reference / pixels,
        presence_logit=presence,
        values={
            **{name: _floats(table, name) for name in AS_RECORDED},
            **_derived(table, reference=reference, predicted=predicted, presence=presence),
        },
    )


def _derived(
    table: pa.Table, *, reference: np.ndarray, predicted: np.ndarray, presence: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the metrics that follow from counts and sizes."""
    has_reference, finds = reference > 0, predicted > 0
    is_detected = np.asarray(table["is_detected"]).astype(bool)
    pixel = _floats(table, "spacing_row_millimetres") * _floats(table, "spacing_column_millimetres")
    excess = np.where(has_reference, predicted - reference, np.nan)
    relative = excess / np.maximum(reference, 1)
    return {
        "area_error": np.abs(relative),
        "area_bias": relative,
        "area_error_square_millimetres": np.abs(excess) * pixel,
        "detection_rate": np.where(has_reference, is_detected, np.nan),
        "miss_rate": np.where(has_reference, ~finds, np.nan),
        "false_positive_rate": np.where(has_reference, np.nan, finds),
        "presence_accuracy": np.where(
            np.isfinite(presence), (presence > 0) == has_reference, np.nan
        ),
    }


def _floats(table: pa.Table, name: str) -> Float[np.ndarray, " row"]:
    return np.asarray(table[name]).astype(np.float64)


def _begins(table: pa.Table, columns: Sequence[str]) -> Bool[np.ndarray, " row"]:
    """Say of each row whether it differs from the row before."""
    begins = np.zeros(len(table), dtype=bool)
    begins[:1] = True
    for column in columns:
        words = table[column].combine_chunks().dictionary_encode()
        begins[1:] |= np.diff(np.asarray(words.indices)) != 0
    return begins


def _labels(table: pa.Table, *columns: str) -> Labels:
    words = [table[column].combine_chunks() for column in columns]
    if len(words) > 1:
        words = [pc.call_function("binary_join_element_wise", [*words, "/"])]
    encoded = words[0].dictionary_encode()
    order = np.asarray(pc.call_function("array_sort_indices", [encoded.dictionary]))
    order = order.astype(np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Labels(codes=rank[np.asarray(encoded.indices)], names=encoded.dictionary.take(order))
