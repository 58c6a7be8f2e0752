"""Every number of summaries as Parquet, beside the page that shows them.

strata.parquet        every mean and interval; means of single subjects
counts.parquet        how many rows, images, subjects, misses and false positives a stratum has
presence.parquet      how well presence is told, by source and category
calibration.parquet   how far stated presence can be believed, by bin
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.confidence_intervals import Interval
from evaluation.measured_rows import MeasuredRows
from evaluation.presence import NUM_BINS
from evaluation.summary import SIZE_STRATA, Stratum, Summary, subject_means

_ABOUT = ("model", "protocol", "tier")
_COLUMNS: dict[str, dict[str, type]] = {
    "strata": {
        **dict.fromkeys(("by", "stratum", "metric"), str),
        **dict.fromkeys(("mean", "lower", "upper"), float),
        **dict.fromkeys(("num_rows", "num_subjects"), int),
    },
    "counts": {
        **dict.fromkeys(("by", "stratum"), str),
        **dict.fromkeys(("num_rows", "num_images", "num_subjects", "num_unknown_subjects"), int),
        **dict.fromkeys(("num_misses", "num_false_positives"), int),
        **dict.fromkeys(("above_share", "up_to_share"), float),
    },
    "presence": {"stratum": str, "num_present": int, "num_absent": int, "auc": float},
    "calibration": {
        "bin": int,
        **dict.fromkeys(("from_stated", "to_stated"), float),
        "num_rows": int,
        **dict.fromkeys(("mean_stated", "share_present"), float),
        **dict.fromkeys(("expected_error", "brier_score"), float),
    },
}
"""Of every file, behind the columns of `_ABOUT`."""


def write_parquet_files(
    folder: Path, *, groups: Sequence[MeasuredRows], summaries: Sequence[Summary]
) -> None:
    """Write all files; those about presence have no rows for models that do not judge it.

    Args:
        folder: That is there.
        groups: Rows by column, one a model, protocol and tier.
        summaries: What the groups amount to, in their order.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _COLUMNS}
    for group, summary in zip(groups, summaries, strict=True):
        about = {name: getattr(summary, name) for name in _ABOUT}
        parts = {
            "strata": [*_means(summary), *_subject_means(group)],
            "counts": _counts(summary),
            "presence": _presence(summary),
            "calibration": _calibration(summary),
        }
        for name, found in parts.items():
            rows[name] += [{**about, **row} for row in found]
    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64()}
    for name, columns in _COLUMNS.items():
        typed = {**dict.fromkeys(_ABOUT, str), **columns}
        schema = pa.schema([(column, kinds[kind]) for column, kind in typed.items()])
        pq.write_table(pa.Table.from_pylist(rows[name], schema=schema), folder / f"{name}.parquet")


def _means(summary: Summary) -> list[dict[str, Any]]:
    """Return a metric in a stratum as one row, with its interval."""
    return [
        {"by": by, "stratum": name, "metric": metric, **_ends(interval)}
        for by, strata in summary.strata().items()
        for name, stratum in strata.items()
        for metric, interval in stratum.metrics.items()
    ]


def _ends(interval: Interval) -> dict[str, Any]:
    return {
        "mean": interval.mean,
        "lower": interval.lower,
        "upper": interval.upper,
        "num_rows": interval.num_rows,
        "num_subjects": interval.num_subjects,
    }


def _subject_means(group: MeasuredRows) -> list[dict[str, Any]]:
    return [
        {
            "by": "subject",
            "stratum": subject,
            "metric": metric,
            "mean": mean,
            "num_rows": count,
            "num_subjects": 1,
        }
        for metric, (means, counts) in subject_means(group).items()
        for subject, mean, count in zip(
            group.subject.names.to_pylist(), means.tolist(), counts.tolist(), strict=True
        )
        if count
    ]


def _counts(summary: Summary) -> list[dict[str, Any]]:
    """Return a stratum as one row; those by size also with the shares of the image they span."""
    return [
        {"by": by, "stratum": name, **_numbers(stratum), **_span(summary, by=by, name=name)}
        for by, strata in summary.strata().items()
        for name, stratum in strata.items()
    ]


def _numbers(stratum: Stratum) -> dict[str, int]:
    names = (column for column in _COLUMNS["counts"] if column.startswith("num_"))
    return {name: getattr(stratum, name) for name in names}


def _span(summary: Summary, *, by: str, name: str) -> dict[str, float]:
    if by != "size":
        return {}
    limits = (0.0, *summary.size_limits, 1.0)
    place = SIZE_STRATA.index(name)
    return {"above_share": limits[place], "up_to_share": limits[place + 1]}


def _presence(summary: Summary) -> list[dict[str, Any]]:
    return [
        {
            "stratum": name,
            "num_present": one.num_present,
            "num_absent": one.num_absent,
            "auc": one.auc,
        }
        for name, one in summary.presence.items()
    ]


def _calibration(summary: Summary) -> list[dict[str, Any]]:
    found = summary.calibration
    if found is None:
        return []
    return [
        {
            "bin": place,
            "from_stated": place / NUM_BINS,
            "to_stated": (place + 1) / NUM_BINS,
            "num_rows": count,
            "mean_stated": found.mean_stated[place],
            "share_present": found.share_present[place],
            "expected_error": found.expected_error,
            "brier_score": found.brier_score,
        }
        for place, count in enumerate(found.counts)
    ]
