"""The table of `benchmarks.scaling` is arithmetic on what runs have measured."""

import pytest

from benchmarks.scaling import Setting, TimedRun, _rows, _timed, measure
from benchmarks.table import ratio_of


def test_shares_are_of_a_step_and_saving_is_spread_over_the_default_interval() -> None:
    rows = [
        {"kind": "train", "speed/images_per_second": 1.0, "speed/share_waiting_for_data": 0.9},
        {"kind": "checkpoint", "checkpoint/seconds": 3.0},
        {"kind": "train", "speed/images_per_second": 8.0, "speed/share_waiting_for_data": 0.02},
        {"kind": "checkpoint", "checkpoint/seconds": 2.0},
    ]
    setting = Setting(name="2 processes, weak", num_processes=2, global_batch_size=4)
    found = _timed(setting, rows=rows, communication_seconds=0.01)
    # A step takes half a second, so 500 of them 250 s, and a save 2.5 s.
    assert found.images_per_second == 8.0
    assert found.shares_percent == pytest.approx(
        {"communication": 2.0, "waiting for data": 2.0, "saving": 100 * 2.5 / 252.5}
    )


def test_two_processes_are_compared_with_the_one_and_shares_with_the_aim() -> None:
    rows = _rows(
        {
            "1 process": TimedRun(images_per_second=2.0, shares_percent={"saving": 1.0}),
            "2 processes, weak": TimedRun(images_per_second=3.8, shares_percent={"saving": 4.0}),
        }
    )
    assert [(row.name, row.baseline, row.aim) for row in rows] == [
        ("1 process", None, None),
        ("2 processes, weak", "1 process", None),
        ("1 process: saving", None, 3.0),
        ("2 processes, weak: saving", None, 3.0),
    ]
    assert ratio_of(rows[1], baseline=rows[0].value) == pytest.approx(1.9)


def test_a_batch_that_two_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="BATCH is 3"):
        measure(preset="samus_tiny", num_steps=1, batch_size=3)
