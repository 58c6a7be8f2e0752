"""`launchers/submit_slurm.py`: the scripts it writes, and what they do."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.distributed.launcher.api import LaunchConfig

import launchers.submit_slurm
from launchers.submit_slurm import SLURM
from pipeline.slurm.node import launch_words, num_processes, rendezvous_id, verdict
from tests.support.slurm_submission import submit

PRESETS = sorted(path.stem for path in SLURM.glob("*.yaml"))

TINY = {
    "name": "tiny",
    "train": "train",
    "test": "test",
    "pretrain": {"options": ["preset=phantom_tiny"]},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_scripts_of_a_preset_are_clean_bash(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"preset={preset}", f"folder={tmp_path}", "train=a/train", "test=a b/test"]
    sweep = "sweep=[[optimizer.weight_decay=0.1],[optimizer.weight_decay=0.2]]"
    monkeypatch.setattr(sys, "argv", ["submit_slurm.py", *words, sweep, "--dry-run"])
    assert launchers.submit_slurm.main() == 0
    scripts = capsys.readouterr().out.split("#!/usr/bin/env bash\n")[1:]
    assert len(scripts) >= 3
    for number, text in enumerate(scripts):
        script = tmp_path / f"{number}.sbatch"
        script.write_text(f"#!/usr/bin/env bash\n{text}")
        subprocess.run(["bash", "-n", script], check=True)
        shellcheck = Path(sys.executable).with_name("shellcheck")
        answer = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".sbatch"] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_can_be_cut_to_its_first_stage(
    preset: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"preset={preset}", "stages=[pretrain]", "train=a/train", "--dry-run"]
    monkeypatch.setattr(sys, "argv", ["submit_slurm.py", *words])
    assert launchers.submit_slurm.main() == 0
    assert capsys.readouterr().out.count("#!/usr/bin/env bash\n") == 1


def test_a_script_asks_for_what_the_options_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = TINY | {
        "stages": ["pretrain"],
        "partition": "gpu",
        "account": "lab",
        "constraint": "a100",
        "directives": ["--mem=64G"],
        "environment": ["module load cuda"],
        "container": "apptainer exec --nv image.sif",
        "pretrain": {
            "options": ["preset=phantom_tiny", "data.licences=[CC BY 4.0]"],
            "nodes": 2,
            "gpus_per_node": 4,
            "cpus_per_task": 32,
            "minutes": 90,
        },
    }
    assert submit(options, "dry_run=true", folder=tmp_path, monkeypatch=monkeypatch) == 0
    script = capsys.readouterr().out
    asked = {line.removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line}
    assert asked >= {
        "--job-name=tiny.pretrain",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gpus-per-node=4",
        "--cpus-per-task=32",
        "--time=90",
        "--signal=B:USR2@120",
        "--requeue",
        "--partition=gpu",
        "--account=lab",
        "--constraint=a100",
        "--mem=64G",
    }
    assert script.index("\nmodule load cuda\n") < script.index("task=(")
    assert "task=(apptainer exec --nv image.sif python -m pipeline.slurm.node" in script
    assert shlex.quote("data.licences=[CC BY 4.0]") in script


def test_folders_with_spaces_are_one_word_each_for_sbatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "two words"
    folder.mkdir()
    monkeypatch.chdir(folder)
    options = TINY | {"stages": ["pretrain"]}
    assert submit(options, "dry_run=true", folder=folder, monkeypatch=monkeypatch) == 0
    script = capsys.readouterr().out
    lines = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert [len(shlex.split(line)) for line in lines] == [2] * len(lines)
    asked = {shlex.split(line)[1] for line in lines}
    logs = folder / "slurm" / "tiny" / "logs"
    assert {f"--chdir={folder}", f"--output={logs}/pretrain-%j.log"} < asked


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stages": ["evaluate", "pretrain"]}, "in this order"),
        ({"pretrain": {"options": ["optimizer.peak_learning_rat=1"]}}, "Stage pretrain: "),
        ({"test": None}, "Stage evaluate: These options have no default and must be given: data"),
        (
            {"stages": ["register"]},
            "Stage register: These options have no default and must be given: name",
        ),
        ({"register_as": "tiny"}, "a list with register, as register_as is given"),
        ({"name": "a/b"}, "name is a/b"),
        ({"pretrain": {"nodes": 0}}, "nodes is 0"),
        ({"export": {"nodes": 2}}, "export.nodes is 2: it must be 1"),
        (
            {"stages": ["register"], "register": {"options": ["name=tiny"], "nodes": 3}},
            "register.nodes is 3: it must be 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_submitted(
    change: dict[str, Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert submit(TINY | change, folder=tmp_path, monkeypatch=monkeypatch) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "slurm").exists()


def test_without_slurm_the_command_says_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert submit(TINY, folder=tmp_path, monkeypatch=monkeypatch) == 2
    assert "There is no sbatch on this machine" in capsys.readouterr().err


def test_every_count_comes_from_slurm() -> None:
    slurm = {
        "SLURM_JOB_ID": "17",
        "SLURM_NNODES": "4",
        "SLURM_NODEID": "2",
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_RESTART_COUNT": "3",
        "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1",
    }
    command = ["launchers.pretrain", "run.name=a"]
    words = launch_words(slurm, logs="logs", accelerate="several_nodes", command=command)
    assert {"--num_machines=4", "--num_processes=32", "--machine_rank=2"} < set(words)
    assert words[-3:] == ["--module", *command]
    assert rendezvous_id(slurm) == "17-3"
    assert num_processes({"SLURM_NNODES": "2"}) == 2


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([140, 140], 75),
        ([143], 75),
        ([75, -9], 76),
        ([75], 76),
        ([-9, 2], 78),
        ([1], 78),
        ([143, 75], 76),
    ],
)
def test_what_must_not_be_tried_again_wins(ends: list[int], code: int) -> None:
    assert verdict(ends) == code


def test_torch_s_launcher_leaves_its_ranks_the_time_that_the_job_tells_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "77")
    config = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=1)
    assert config.shutdown_timeout == 77


@pytest.mark.parametrize(
    ("code", "losses", "is_queued_again", "last"),
    [
        (0, 0, False, 0),
        (75, 2, True, 75),
        (76, 0, True, 76),
        (137, 2, True, 137),
        (137, 3, False, 137),
        (78, 0, False, 78),
        (2, 0, False, 2),
    ],
)
def test_a_job_is_queued_again_only_where_that_helps(
    code: int, losses: int, is_queued_again: bool, last: int, tmp_path: Path
) -> None:
    """With programs that answer for srun and scontrol."""
    (tmp_path / "logs").mkdir()
    count = tmp_path / "logs" / "pretrain-17.losses"
    count.write_text("76\n" * losses)
    grace = f'echo "$TORCH_ELASTIC_SHUTDOWN_TIMEOUT" > {tmp_path}/grace'
    for name, line in (
        ("srun", f"{grace}; exit {code}"),
        ("scontrol", f'echo "$@" > {tmp_path}/asked'),
    ):
        (tmp_path / name).write_text(f"#!/bin/bash\n{line}\n")
        (tmp_path / name).chmod(0o755)
    head = (
        f"set -euo pipefail; job=pretrain folder={tmp_path} logs={tmp_path}/logs/one "
        "grace_seconds=5 max_losses=3 task=(true)\n"
    )
    answer = subprocess.run(
        ["bash", "-c", head + (SLURM / "job.sh").read_text()],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == last, answer.stderr
    assert (tmp_path / "grace").read_text() == "5\n"
    asked = tmp_path / "asked"
    assert asked.exists() == is_queued_again
    assert not is_queued_again or asked.read_text() == "requeue 17\n"
    assert (tmp_path / "done" / "pretrain").exists() == (code == 0)
    assert not (code in {0, 75} and count.exists())
