"""The quick start goes on where it stopped, and takes nothing half done for done."""

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.quickstart import Step, is_done, plan_steps, run_step, with_interpreter
from tests.support.nano_run import end_group, launcher_environment, wait_for

SLOW_TO_SAVE = """
import os, signal, sys, time
def save(number, frame):
    time.sleep(0.6)
    Path({saved!r}).touch()
    sys.exit(130)
signal.signal(signal.SIGINT, save)
Path({started!r}).touch()
"""


def script_step(folder: Path, title: str, code: str) -> Step:
    script = folder / f"{title}.py"
    script.write_text(f"from pathlib import Path\n{code}\n")
    return Step(title=title, words=[str(script)], proof=folder / f"{title}.made")


def test_a_new_folder_has_nothing_done(tmp_path: Path) -> None:
    assert [step.title for step in plan_steps(tmp_path) if is_done(step, folder=tmp_path)] == []


def test_a_step_that_failed_is_run_again_whatever_it_left(tmp_path: Path) -> None:
    proof = tmp_path / "export.made"
    failing = script_step(tmp_path, "export", f"Path({str(proof)!r}).touch(); raise SystemExit(3)")
    assert not run_step(failing, folder=tmp_path, later=[])
    assert proof.exists()
    assert not is_done(failing, folder=tmp_path)


def test_a_step_that_went_well_is_not_run_again_while_its_work_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    count = tmp_path / "count"
    proof = tmp_path / "train.made"
    code = f"Path({str(proof)!r}).touch(); open({str(count)!r}, 'a').write('x')"
    step = script_step(tmp_path, "train", code)
    for _ in range(2):
        assert run_step(step, folder=tmp_path, later=[])
    assert count.read_text() == "x"
    proof.unlink()
    assert run_step(step, folder=tmp_path, later=[])
    assert count.read_text() == "xx"


def test_what_comes_after_a_step_that_runs_is_out_of_date(tmp_path: Path) -> None:
    proofs = {title: tmp_path / f"{title}.made" for title in ("train", "evaluate")}
    steps = [
        script_step(tmp_path, title, f"Path({str(proof)!r}).touch()")
        for title, proof in proofs.items()
    ]
    train, evaluate = steps
    assert run_step(train, folder=tmp_path, later=[evaluate])
    assert run_step(evaluate, folder=tmp_path, later=[])
    again = dataclasses.replace(train, proof=tmp_path / "another")
    run_step(again, folder=tmp_path, later=[evaluate])
    assert not is_done(evaluate, folder=tmp_path)


@pytest.fixture
def python_handles_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_ctrl_c_waits_for_a_step_that_saves_and_says_that_it_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = tmp_path / "saved"
    code = SLOW_TO_SAVE.format(saved=str(saved), started=str(tmp_path / "started"))
    # As a terminal does, which signals both.
    both = "os.kill(os.getppid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT)"
    step = script_step(tmp_path, "train", f"{code}\n{both}\ntime.sleep(60)")
    with pytest.raises(KeyboardInterrupt):
        run_step(step, folder=tmp_path, later=[])
    assert saved.exists()
    assert "the same command goes on" in caplog.text
    assert not is_done(step, folder=tmp_path)


@pytest.mark.slow
def test_ctrl_c_lets_a_trainer_save_below_its_launcher(tmp_path: Path) -> None:
    saved, started = tmp_path / "saved", tmp_path / "started"
    code = SLOW_TO_SAVE.format(saved=str(saved), started=str(started))
    (trainer,) = script_step(tmp_path, "train", f"{code}\ntime.sleep(60)").words
    launch = next(step.words for step in plan_steps(tmp_path) if step.words[0] == "accelerate")
    words = launch[: launch.index("preset=phantom_tiny") - 1]
    process = subprocess.Popen(
        with_interpreter([*words, trainer]),
        env=launcher_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_for(started, process=process)
        os.killpg(process.pid, signal.SIGINT)
        code_of_launcher = process.wait(timeout=60)
        assert saved.exists()
        output, _ = process.communicate()
    finally:
        end_group(process)
    assert code_of_launcher == 1
    assert "Traceback" not in output
