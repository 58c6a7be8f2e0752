"""`launchers/pretrain.py` against a hurried user and folders of somebody else."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import launchers.pretrain

# Here, because a user without rights may not be able to import it later.
import pipeline.pretraining  # noqa: F401 # pyright: ignore[reportUnusedImport]
from tests.support.nano_run import build_nano_corpora, end_group, nano_words, start_launcher

NOBODY = 65_534


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nano_corpora(tmp_path_factory.mktemp("corpora"))


def wait_for(path: Path, *, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once_and_without_saving(corpora: Path, tmp_path: Path) -> None:
    # A thousand micro-batches: the first step lasts longer than both signals take.
    words = nano_words(corpora, root=tmp_path, words=("data.global_batch_size=4000",))
    process = start_launcher(words)
    try:
        wait_for(tmp_path / "nano" / "status.json", process=process)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        said = iter(process.stdout.readline, "")
        before = list(
            itertools.takewhile(lambda line: "after this step and saves" not in line, said)
        )
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        end_group(process)
    output = "".join(before) + rest
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "Saved" not in output
    assert list((tmp_path / "nano" / "checkpoints").iterdir()) == []
    status = json.loads((tmp_path / "nano" / "status.json").read_text())
    assert (status["state"], status["message"]) == ("interrupted", "Ended without saving.")


@pytest.mark.parametrize("unwritable", ["", "nano", "nano/checkpoints"])
def test_a_folder_that_its_user_may_not_write_is_refused_before_the_first_step(
    corpora: Path,
    tmp_path: Path,
    unwritable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = nano_words(corpora, root=tmp_path / "runs")
    (tmp_path / "runs" / "nano" / "checkpoints").mkdir(parents=True)
    for folder in ("runs", "runs/nano", "runs/nano/checkpoints"):
        (tmp_path / folder).chmod(0o777)
    closed = tmp_path / "runs" / unwritable
    if not unwritable:
        (closed / "nano" / "checkpoints").rmdir()
        (closed / "nano").rmdir()
    closed.chmod(0o555)
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *words])
    with _as_an_ordinary_user(tmp_path):
        assert launchers.pretrain.main() == 2
    closed.chmod(0o755)
    said = capsys.readouterr().err
    assert f"error: The run folder {tmp_path / 'runs' / 'nano'} cannot be written" in said
    assert "Permission denied" in said
    assert "Traceback" not in said


@contextlib.contextmanager
def _as_an_ordinary_user(folder: Path) -> Iterator[None]:
    """Let the system's own permission checks apply to this process, also where it is root's."""
    if os.geteuid() != 0:
        yield
        return
    with contextlib.ExitStack() as stack:
        # pytest's folders are closed to others.
        for place in (folder, *folder.parents[:2]):
            mode = place.stat().st_mode
            place.chmod(mode | 0o055)
            stack.callback(place.chmod, mode)
        os.seteuid(NOBODY)
        stack.callback(os.seteuid, 0)
        yield
