"""`launchers/pretrain.py` as its user meets it: exit codes, one clear error, kills and resumes."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import launchers.pretrain
from tests.support.disk_corpus import disk_sample, write_disk_corpus
from tests.support.nano_run import (
    LAUNCHER,
    REPOSITORY,
    build_nano_corpora,
    end_group,
    files_of,
    launcher_environment,
    losses_of,
    nano_words,
    run_launcher,
    start_launcher,
    wait_for_step,
)
from tests.support.unwritable import full_disk


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nano_corpora(tmp_path_factory.mktemp("corpora"))


def refuse(
    words: list[str], *, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run the launcher in this process on what it must refuse; return its one line."""
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *words])
    assert launchers.pretrain.main() == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.train=/nowhere/train", "/nowhere/train: no corpus here"),
        ("data.validation=/nowhere/validation", "/nowhere/validation: no corpus here"),
        ("model.preset=samus_tinny", "did you mean 'samus_tiny'"),
        ("model.overrides.depht=2", "did you mean 'depth'"),
        ("model.base=/nowhere/sam.pth", "/nowhere/sam.pth: no such file"),
        ("model.overrides.width=25", "with model.overrides: width (25) must be a multiple"),
        ("model.overrides.depth=much", "with model.overrides: depth is 'much'"),
        ("model.categories=[a]", "answers prompts and has none"),
        ("initialize_from=/nowhere", "/nowhere: no such"),
        ("run.num_processes=2", "run.num_processes asks for 2 processes, 1 found"),
        ("data.licences=[none]", "no source comes under none"),
        ("optimizer.peak_learning_rat=1", "peak_learning_rate"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_two(
    corpora: Path,
    tmp_path: Path,
    word: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = nano_words(corpora, root=tmp_path, words=(word,))
    assert said in refuse(words, monkeypatch=monkeypatch, capsys=capsys)


def test_training_shards_given_for_validation_are_refused(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = nano_words(corpora, root=tmp_path, words=(f"data.validation={corpora / 'train'}",))
    said = refuse(words, monkeypatch=monkeypatch, capsys=capsys)
    assert "shares images with data.train" in said


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("data.train", "data.train: no object in any image of"),
        ("data.validation", "holds no object to score. Give a split that has some"),
    ],
)
def test_a_split_without_objects_is_refused(
    corpora: Path,
    tmp_path: Path,
    option: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty = tmp_path / "empty"
    write_disk_corpus(empty, samples=[disk_sample("0", num_disks=0)])
    words = nano_words(corpora, root=tmp_path / "runs", words=(f"{option}={empty}",))
    error = refuse(words, monkeypatch=monkeypatch, capsys=capsys)
    assert said in error
    assert option in error
    assert str(empty) in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("validation.protocol=guess",), "there is no protocol 'guess'"),
        (("validation.protocol=automatic",), "'automatic' does not fit nano"),
        (("model.preset=unet_tiny", "model.categories=[valve]"), "nano does not know"),
    ],
)
def test_a_validation_that_cannot_be_asked_is_refused_at_the_start(
    corpora: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    validation = f"data.validation={corpora / 'validation'}"
    options = nano_words(corpora, root=tmp_path, words=(validation, *words))
    assert said in refuse(options, monkeypatch=monkeypatch, capsys=capsys)
    assert not (tmp_path / "nano" / "metrics.jsonl").exists()


def test_an_objective_that_the_model_cannot_serve_is_refused_before_the_first_step(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("model.preset=unet_tiny", "objective.kind=focal_dice_iou")
    options = nano_words(corpora, root=tmp_path, words=words)
    said = refuse(options, monkeypatch=monkeypatch, capsys=capsys)
    assert "needs a model that predicts its IoU, which unet_tiny does not" in said
    assert not (tmp_path / "nano" / "metrics.jsonl").exists()


def test_a_launcher_that_started_one_of_two_processes_is_found_out(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MASTER_PORT", "29500")
    words = nano_words(corpora, root=tmp_path)
    assert "asked for several processes and started one" in refuse(
        words, monkeypatch=monkeypatch, capsys=capsys
    )


@pytest.mark.distributed
def test_accelerate_starts_one_of_two_processes_on_a_cpu_and_is_found_out(
    corpora: Path, tmp_path: Path
) -> None:
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=2"),
            *(str(LAUNCHER), *nano_words(corpora, root=tmp_path)),
        ],
        env=launcher_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode != 0
    assert answer.stderr.count("asked for several processes and started one") == 1
    assert not (tmp_path / "nano").exists()


def test_precision_told_to_the_launcher_alone_is_refused(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    words = nano_words(corpora, root=tmp_path)
    said = refuse(words, monkeypatch=monkeypatch, capsys=capsys)
    assert "mixed_precision=bf16, the run precision=float32" in said


def test_a_run_that_another_process_writes_is_left_alone(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "nano").mkdir()
    with (tmp_path / "nano" / "lock").open("w") as lock:
        lock.write("process 7 on elsewhere")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = nano_words(corpora, root=tmp_path)
        said = refuse(words, monkeypatch=monkeypatch, capsys=capsys)
    assert "process 7 on elsewhere is writing to the run" in said
    assert "run.name=NAME" in said


def test_a_root_that_is_no_folder_is_one_line(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    words = nano_words(corpora, root=tmp_path / "file" / "runs")
    said = refuse(words, monkeypatch=monkeypatch, capsys=capsys)
    assert "cannot be written" in said
    assert "run.root=FOLDER" in said


@pytest.mark.slow
def test_a_checkpoint_that_finds_no_room_leaves_the_last_good_one(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def words(max_steps: int) -> list[str]:
        return nano_words(corpora, root=tmp_path, words=(f"run.max_steps={max_steps}",))

    monkeypatch.setattr(sys, "argv", ["pretrain.py", *words(2)])
    assert launchers.pretrain.main() == 0
    checkpoints = tmp_path / "nano" / "checkpoints"
    good = files_of(checkpoints / "step-00000002")
    capsys.readouterr()
    with full_disk(num_bytes=60_000):
        said = refuse(words(4), monkeypatch=monkeypatch, capsys=capsys)
    assert "there is no room" in said
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000002"]
    assert files_of(checkpoints / "step-00000002") == good
    assert launchers.pretrain.main() == 0


def test_without_an_installation_the_launcher_says_which_command_installs(tmp_path: Path) -> None:
    code = f"import runpy; runpy.run_path({str(LAUNCHER)!r}, run_name='__main__')"
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert f"pip install -e {REPOSITORY}" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR2, 140)]
)
def test_a_signal_saves_and_the_same_command_goes_on(
    corpora: Path, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    words = nano_words(corpora, root=tmp_path, words=("run.max_steps=400", "data.num_workers=1"))
    process = start_launcher(words)
    try:
        wait_for_step(tmp_path / "nano", step=3, process=process)
        # Ctrl-C reaches the loader's workers as well: the whole group, as a terminal sends it.
        os.killpg(process.pid, number)
        output, _ = process.communicate(timeout=120)
    finally:
        end_group(process)
    assert process.returncode == exit_code, output
    assert "The same command goes on from there" in output
    assert "Traceback" not in output
    assert json.loads((tmp_path / "nano" / "status.json").read_text())["state"] == "interrupted"
    step = max(losses_of(tmp_path / "nano"))
    code, output = run_launcher(
        nano_words(corpora, root=tmp_path, words=(f"run.max_steps={step + 2}",))
    )
    assert code == 0, output
    assert f"Resuming from {tmp_path}" in output


@pytest.mark.slow
def test_a_run_killed_at_any_step_continues_bit_for_bit(corpora: Path, tmp_path: Path) -> None:
    _assert_kill_changes_nothing(corpora, root=tmp_path, seed=0, num_processes=1)


@pytest.mark.distributed
def test_two_ranks_killed_at_any_step_continue_bit_for_bit(corpora: Path, tmp_path: Path) -> None:
    _assert_kill_changes_nothing(corpora, root=tmp_path, seed=2, num_processes=2)


def _assert_kill_changes_nothing(
    corpora: Path, *, root: Path, seed: int, num_processes: int
) -> None:
    options = ("run.max_steps=12", "data.num_workers=1", "checkpoint.every_steps=3")
    options = (*options, f"run.num_processes={num_processes}", "data.micro_batch_size=2")
    whole = nano_words(corpora, root=root, words=(*options, "run.name=whole"))
    killed = nano_words(corpora, root=root, words=(*options, "run.name=killed"))
    code, output = run_launcher(whole, num_processes=num_processes)
    assert code == 0, output

    process = start_launcher(killed, num_processes=num_processes)
    try:
        step = random.Random(seed).randint(4, 8)
        wait_for_step(root / "killed", step=step, process=process)
    finally:
        end_group(process)
    assert max(losses_of(root / "killed")) < 12
    code, output = run_launcher(killed, num_processes=num_processes)
    assert code == 0, output
    assert f"Resuming from {root / 'killed'}" in output
    assert losses_of(root / "killed") == losses_of(root / "whole")
    last = "checkpoints/step-00000012"
    assert files_of(root / "killed" / last) == files_of(root / "whole" / last)
