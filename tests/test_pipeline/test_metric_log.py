"""`metrics.jsonl` survives kills and resumes."""

from pathlib import Path

import pytest

from pipeline.run_folder.metric_log import MetricLog, MetricRow


def row(step: int, loss: float = 0.5) -> MetricRow:
    return MetricRow(step=step, kind="train", values={"train/loss": loss}, time=0.0)


@pytest.fixture
def log(tmp_path: Path) -> MetricLog:
    log = MetricLog(tmp_path / "metrics.jsonl")
    for step in range(1, 6):
        log.append(row(step))
    return log


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.append(row(1, loss=0.1 + 0.2))
    assert [one.values["train/loss"] for one in log.rows()] == [0.1 + 0.2]


def test_rows_after_the_checkpoint_are_cut(log: MetricLog) -> None:
    assert log.cut_back(step=3) == 2
    assert [one.step for one in log.rows()] == [1, 2, 3]


def test_nothing_is_rewritten_where_nothing_is_cut(log: MetricLog) -> None:
    inode = log.path.stat().st_ino
    assert log.cut_back(step=5) == 0
    assert log.path.stat().st_ino == inode


def test_a_torn_last_line_goes(log: MetricLog) -> None:
    with log.path.open("a") as file:
        file.write('{"step": 6, "kind": "tr')
    assert log.cut_back(step=6) == 1
    log.append(row(6))
    assert [one.step for one in log.rows()] == [1, 2, 3, 4, 5, 6]


def test_a_run_that_begins_again_at_step_zero_keeps_no_row(log: MetricLog) -> None:
    assert log.cut_back(step=0) == 5
    assert list(log.rows()) == []


def test_what_is_not_a_number_is_no_metric(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        MetricLog(tmp_path / "metrics.jsonl").append(row(1, loss=float("nan")))
