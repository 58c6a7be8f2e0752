"""What `list_runs` shows of a folder of runs."""

import fcntl
from pathlib import Path

import pytest

from pipeline.run_folder.listing import find_runs
from pipeline.run_folder.status import RunStatus, State, write_status


def leave_run(root: Path, *, name: str, state: State) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "lock").touch()
    write_status(folder, status=RunStatus(state=state, step=3, max_steps=9))
    return folder


def test_a_killed_run_is_told_from_one_that_runs(tmp_path: Path) -> None:
    leave_run(tmp_path, name="killed", state="running")
    alive = leave_run(tmp_path, name="alive", state="running")
    leave_run(tmp_path, name="done", state="finished")
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "mlartifacts").mkdir()
    with (alive / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        states = {run.name: run.state for run in find_runs(str(tmp_path))}
    assert states == {"killed": "died", "alive": "running", "done": "finished"}


def test_the_run_with_the_latest_sign_of_life_comes_first(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        leave_run(tmp_path, name=name, state="finished")
    assert [run.name for run in find_runs(str(tmp_path))] == ["third", "second", "first"]


def test_a_half_written_status_is_no_run(tmp_path: Path) -> None:
    folder = leave_run(tmp_path, name="torn", state="running")
    (folder / "status.json").write_text('{"state": "run')
    assert find_runs(str(tmp_path)) == []


def test_a_root_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="root=/nowhere"):
        find_runs("/nowhere")
