"""Whether a model knows what is in an image is told within one source."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evaluation import evaluate_corpus, summarise, summarise_each
from evaluation.measured_rows import MeasuredRows, measured_rows
from evaluation.presence import calibrate_presence, rank_presence, roc_curve
from evaluation.records import EvaluationRecord
from evaluation.reports.parquet_files import write_parquet_files
from evaluation.reports.tables import tables_of
from tests.support.disk_corpus import (
    DISK,
    RING,
    AutomaticBrightnessPredictor,
    disk_sample,
    write_disk_corpus,
)
from tests.support.evaluation_records import make_record


def row(number: int, logit: float, *, is_present: bool, source: str = "a") -> EvaluationRecord:
    return make_record(
        protocol="automatic",
        source=source,
        key=f"{source}__{number}",
        presence_logit=logit,
        reference_pixels=100 if is_present else 0,
    )


def by_column(rows: list[EvaluationRecord]) -> MeasuredRows:
    (group,) = measured_rows(rows)
    return group


def test_the_area_counts_pairs_in_order_and_ties_by_half() -> None:
    rows = [
        row(0, 2.0, is_present=True),
        row(1, 0.5, is_present=True),
        row(2, 0.5, is_present=False),
        row(3, -1.0, is_present=False),
    ]
    (ranking,) = rank_presence(by_column(rows)).values()
    assert (ranking.num_present, ranking.num_absent) == (2, 2)
    assert ranking.auc == pytest.approx(3.5 / 4)


def test_the_curve_goes_from_the_strictest_threshold_to_the_laxest() -> None:
    logits = np.array([2.0, 0.5, 0.5, -1.0])
    false, true = roc_curve(logits, np.array([True, True, False, False]))
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]


def test_calibration_holds_what_is_stated_against_what_is_there() -> None:
    sure = math.log(0.95 / 0.05)
    rows = [row(number, sure, is_present=number < 15) for number in range(20)]
    rows += [row(number, -sure, is_present=False) for number in range(20, 40)]
    calibration = calibrate_presence(by_column(rows))
    assert calibration is not None
    assert (calibration.counts[0], calibration.counts[9], sum(calibration.counts)) == (20, 20, 40)
    assert calibration.mean_stated[9] == pytest.approx(0.95)
    assert calibration.share_present[9] == 0.75
    assert math.isnan(calibration.share_present[5])
    assert calibration.expected_error == pytest.approx((0.2 + 0.05) / 2)
    brier = (15 * 0.05**2 + 5 * 0.95**2 + 20 * 0.05**2) / 40
    assert calibration.brier_score == pytest.approx(brier)


def test_what_the_source_alone_gives_away_is_not_counted() -> None:
    """Between sources the ranking would be perfect, within the one it is upside down."""
    rows = [
        *(row(number, 5.0, is_present=True, source="a") for number in range(5)),
        row(0, -5.0, is_present=True, source="b"),
        row(1, -4.0, is_present=False, source="b"),
    ]
    rankings = rank_presence(by_column(rows))
    assert {name: one.auc for name, one in rankings.items()} == {"b / nodule": 0.0}


def test_models_that_do_not_judge_presence_have_no_such_figures() -> None:
    rows = [row(0, math.nan, is_present=True), row(1, math.nan, is_present=False)]
    summary = summarise(rows)
    assert summary.presence == {}
    assert "presence_accuracy" not in summary.overall.metrics
    assert not any("Presence" in table.caption for table in tables_of(summary))


def test_judgements_go_from_the_model_to_rows_means_and_tables(tmp_path: Path) -> None:
    samples = [disk_sample("with"), disk_sample("without", num_disks=0)]
    corpus = write_disk_corpus(tmp_path, samples=samples, categories=(DISK, RING))
    predictor = AutomaticBrightnessPredictor(categories=(RING, DISK), presence_logits=(-2.0, 1.0))
    rows = evaluate_corpus(
        predictor, corpus, protocol="automatic", model_name="a_model", progress=False
    )
    judged = {(one.key, one.category): one.presence_logit for one in rows}
    assert judged == {
        **{(sample.key, DISK): 1.0 for sample in samples},
        **{(sample.key, RING): -2.0 for sample in samples},
    }
    summary = summarise(rows)
    assert summary.scores()["presence_accuracy"] == pytest.approx(3 / 4)
    assert {name: one.auc for name, one in summary.presence.items()} == {"disks / disk": 0.5}
    assert "Presence" in tables_of(summary)[-1].caption


def test_presence_is_told_by_category_and_by_bin(tmp_path):
    rows = [
        make_record(key=str(at), presence_logit=float(at), reference_pixels=100 * (at > 1))
        for at in range(-3, 5)
    ]
    groups = measured_rows(rows)
    (summary,) = summarise_each(rows)
    write_parquet_files(tmp_path, groups=groups, summaries=[summary])
    (ranking,) = pq.read_table(tmp_path / "presence.parquet").to_pylist()
    assert (ranking["stratum"], ranking["auc"]) == ("a_source / nodule", 1.0)
    assert (ranking["num_present"], ranking["num_absent"]) == (3, 5)
    bins = pq.read_table(tmp_path / "calibration.parquet").to_pylist()
    assert summary.calibration is not None
    assert [row["num_rows"] for row in bins] == list(summary.calibration.counts)
    assert (bins[9]["from_stated"], bins[9]["to_stated"]) == (0.9, 1.0)
    assert bins[9]["share_present"] == 1.0  # logits 3 and 4; 2 states 0.88
    assert {row["brier_score"] for row in bins} == {summary.calibration.brier_score}
