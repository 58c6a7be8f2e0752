"""`launchers/pretrain.py` against a hurried user and folders of somebody else."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import launchers.pretrain

# Here, because a user without rights may not be able to import it later.
import pipeline.pretraining  # noqa: F401 # pyright: ignore[reportUnusedImport]
from tests.support.nano_run import (
    ACCELERATE,
    LAUNCHER,
    build_nano_corpora,
    end_group,
    launcher_environment,
    nano_words,
    start_launcher,
    wait_for,
    wait_for_step,
)
from tests.support.unwritable import as_an_ordinary_user


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nano_corpora(tmp_path_factory.mktemp("corpora"))


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


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("number", "is_training"),
    [(signal.SIGKILL, False), (signal.SIGUSR2, True)],
    ids=["SIGKILL at the start", "SIGUSR2 in a step"],
)
def test_the_trainer_of_a_one_process_launcher_does_not_outlive_it_and_saves(
    corpora: Path, tmp_path: Path, number: signal.Signals, is_training: bool
) -> None:
    words = nano_words(corpora, root=tmp_path, words=("run.max_steps=100000",))
    process, trainer = start_accelerate("one_cpu", words), None
    try:
        trainer = only_child(process)
        if is_training:
            wait_for_step(tmp_path / "nano", step=3, process=process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=120)  # the trainer writes there as well
        assert has_ended(trainer)
    finally:
        end_group(process)
        if trainer is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                trainer.kill()
    assert process.returncode == -number
    assert "The launcher is gone: the run ends after this step and saves." in output
    assert "Stopped by SIGTERM" in output
    status = json.loads((tmp_path / "nano" / "status.json").read_text())
    assert status["state"] == "interrupted"
    assert status["step"] >= 3 if is_training else status["step"] == 1
    last = tmp_path / "nano" / "checkpoints" / f"step-{status['step']:08d}"
    assert (last / "COMPLETE").is_file()


@pytest.mark.slow
def test_ctrl_c_under_a_one_process_launcher_saves_and_the_same_command_goes_on(
    corpora: Path, tmp_path: Path
) -> None:
    words = nano_words(corpora, root=tmp_path, words=("run.max_steps=100000",))
    process = start_accelerate("one_cpu", words)
    try:
        wait_for_step(tmp_path / "nano", step=2, process=process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal, which reaches both
        output, _ = process.communicate(timeout=120)  # ends with the trainer, not the launcher
    finally:
        end_group(process)
    assert "The same command goes on from there" in output
    status = json.loads((tmp_path / "nano" / "status.json").read_text())
    assert status["state"] == "interrupted"
    rest = nano_words(corpora, root=tmp_path, words=(f"run.max_steps={status['step'] + 1}",))
    code, output = run_accelerate("one_cpu", rest)
    assert code == 0, output
    assert f"Resuming from {tmp_path}" in output
    assert json.loads((tmp_path / "nano" / "status.json").read_text())["state"] == "finished"


@pytest.mark.slow
def test_a_mistake_under_a_quiet_one_process_launcher_is_one_line(
    corpora: Path, tmp_path: Path
) -> None:
    words = nano_words(corpora, root=tmp_path, words=("run.max_step=4",))
    code, output = run_accelerate("one_cpu", words, "--quiet")
    assert code == 1
    assert output.startswith("error: ")
    assert "'max_steps'" in output
    assert len(output.splitlines()) == 1


def run_accelerate(file: str, words: list[str], *flags: str) -> tuple[int, str]:
    process = start_accelerate(file, words, *flags)
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        end_group(process)
    return process.returncode, output


def start_accelerate(file: str, words: list[str], *flags: str) -> subprocess.Popen[str]:
    config = str(ACCELERATE / f"{file}.yaml")
    launch = ["-m", "accelerate.commands.launch", *flags, "--config_file", config, str(LAUNCHER)]
    return subprocess.Popen(
        [sys.executable, *launch, *words],
        env=launcher_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # whoever has it now has not looked yet
    except psutil.NoSuchProcess:
        return True


def only_child(process: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the trainer has begun its imports, and return it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                is_trainer = child.cmdline()[1:2] == [str(LAUNCHER)]
                if is_trainer and "/yaml/" in Path(f"/proc/{child.pid}/maps").read_text():
                    return child
        time.sleep(0.01)
    raise AssertionError("The launcher started nothing within 120 s.")


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
    with as_an_ordinary_user(tmp_path):
        assert launchers.pretrain.main() == 2
    closed.chmod(0o755)
    said = capsys.readouterr().err
    assert f"error: The run folder {tmp_path / 'runs' / 'nano'} cannot be written" in said
    assert "Permission denied" in said
    assert "Traceback" not in said
