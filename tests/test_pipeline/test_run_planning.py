"""The calculator against cases by hand, and the page against the calculator."""

import sys
from pathlib import Path

import pytest

import launchers.plan_run
from pipeline.run_planning import (
    daly_interval,
    duration,
    plan_run,
    plan_table,
    share_lost,
    young_interval,
)
from pipeline.run_planning_config import RunPlanConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "planning.md"
MINUTE = 60.0
HOUR = 3_600.0


@pytest.mark.parametrize(
    ("between_failures", "expected_minutes"),
    [(24 * HOUR, 117.0), (6 * HOUR, 57.0), (15 * MINUTE, 9.1)],
)
def test_daly_s_own_examples_come_out_as_he_printed_them(
    between_failures: float, expected_minutes: float
) -> None:
    """Figures 3 to 5 of the paper: a checkpoint takes five minutes."""
    found = daly_interval(save_seconds=5 * MINUTE, seconds_between_failures=between_failures)
    assert found / MINUTE == pytest.approx(expected_minutes, rel=0.008)


def test_young_is_the_square_root_that_can_be_done_in_the_head() -> None:
    # 2 x 5 min x 1,440 min = 14,400 min^2
    assert young_interval(
        save_seconds=5 * MINUTE, seconds_between_failures=24 * HOUR
    ) == pytest.approx(120 * MINUTE)


def test_where_saving_takes_longer_than_failures_are_apart_daly_saves_once_a_failure() -> None:
    assert daly_interval(save_seconds=200.0, seconds_between_failures=100.0) == 100.0


def test_the_lost_share_is_the_sum_that_can_be_done_by_hand() -> None:
    # M = 1,000 s, tau = 90 s, C = 10 s, R = 20 s:
    # 1000/90 x e^0.02 x (e^0.1 - 1) = 11.1111 x 1.0202013 x 0.1051709 = 1.192172
    found = share_lost(
        interval_seconds=90.0,
        save_seconds=10.0,
        restart_seconds=20.0,
        seconds_between_failures=1_000.0,
    )
    assert found == pytest.approx(1 - 1 / 1.192172, rel=1e-5)


def test_daly_s_interval_loses_less_than_half_of_it_and_than_twice_it() -> None:
    best = daly_interval(save_seconds=60.0, seconds_between_failures=2 * HOUR)
    half, chosen, twice = (
        share_lost(
            interval_seconds=factor * best,
            save_seconds=60.0,
            restart_seconds=300.0,
            seconds_between_failures=2 * HOUR,
        )
        for factor in (0.5, 1.0, 2.0)
    )
    assert chosen < min(half, twice)


def test_a_plan_is_the_arithmetic_of_one_gpu_times_the_gpus() -> None:
    config = RunPlanConfig(
        images_per_second=100.0,
        micro_batch_size=50,
        image_bytes=20_000,
        checkpoint_bytes=1_000_000_000,
        save_seconds=10.0,
        gpu_days_between_failures=1_000.0,
    )
    plan = plan_run(config, num_gpus=100)
    assert plan.seconds_between_failures == 10 * 86_400
    # sqrt(2 x 10 x 864,000) = 4,156.9 s; with C / 2M = 5.79e-6: x 1.00080 - 10 = 4,150.3 s
    assert plan.young_seconds == pytest.approx(4_156.9, abs=0.1)
    assert plan.daly_seconds == pytest.approx(4_150.3, abs=0.1)
    assert plan.steps_between_saves == 8_301  # of half a second
    assert (plan.global_batch_size, plan.images_per_second) == (5_000, 10_000)
    assert plan.read_megabytes_per_second == 200
    assert plan.saved_megabytes_per_second == pytest.approx(1_000 / 4_160.3, rel=1e-4)


def test_times_are_told_in_the_unit_that_one_would_use() -> None:
    told = [duration(seconds) for seconds in (59.0, 90.0, 5_400.0, 129_600.0, 22_809_600.0)]
    assert told == ["59 s", "1.5 min", "1.5 h", "1.5 days", "264 days"]


def test_the_table_of_the_page_is_that_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plan_run.py"])
    assert launchers.plan_run.main() == 0
    table = capsys.readouterr().out
    assert table == plan_table(RunPlanConfig())
    assert table in PAGE.read_text()


@pytest.mark.parametrize("words", [["gpus=[]"], ["gpus=[8,0]"], ["save_seconds=0"]])
def test_what_cannot_be_planned_with_is_refused_by_name(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plan_run.py", *words])
    assert launchers.plan_run.main() == 2
    assert f"error: {words[0].split('=')[0]} is " in capsys.readouterr().err
