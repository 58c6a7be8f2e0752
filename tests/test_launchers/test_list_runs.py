"""`launchers/list_runs.py`: a table of the runs of a folder."""

from pathlib import Path

import pytest

from launchers.command_line import run_command
from launchers.list_runs import list_runs
from pipeline.run_folder.listing_config import ListRunsConfig
from pipeline.run_folder.status import RunStatus, write_status


def test_a_run_is_a_row_with_state_step_and_best_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "lock").touch()
    status = RunStatus(
        state="interrupted", step=3, max_steps=9, score_name="dice", best_score=0.51239
    )
    write_status(tmp_path / "mine", status=status)
    assert run_command(ListRunsConfig, list_runs, arguments=[f"root={tmp_path}"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "mine" in line]
    for shown in ("interrupted", "3 / 9", "dice 0.5124"):
        assert shown in row


def test_a_root_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(ListRunsConfig, list_runs, arguments=["root=/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: root=/nowhere")
