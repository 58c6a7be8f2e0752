"""`launchers/sync_tracking.py`; what it sends is tested against a server."""

from pathlib import Path

import pytest

from launchers.command_line import run_command
from launchers.sync_tracking import sync_tracking
from pipeline.tracking.sync_config import TrackingSyncConfig


def test_a_folder_that_is_no_run_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run={tmp_path}", "uri=http://127.0.0.1:9"]
    assert run_command(TrackingSyncConfig, sync_tracking, arguments=words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: run={tmp_path}: there is no run that has begun")
