"""A rank that dies, hangs, or loses its launcher: all ranks end, in time and with a name."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.pretraining import pretrain
from pipeline.refusal import LOST_RANK
from pipeline.run_folder.rank_progress import Phase, SignOfLife, describe_ranks, read_signs
from pipeline.slurm.node import LOST, verdict
from tests.support.nano_run import (
    REPOSITORY,
    end_group,
    launcher_environment,
    nano_config,
    nano_words,
)
from tests.support.small_checkpoint import write_checkpoint

STUCK = REPOSITORY / "tests" / "support" / "stuck_rank.py"
MORTAL = REPOSITORY / "tests" / "support" / "mortal_rank.py"

TIMEOUT_SECONDS = 8


def sign(rank: int, *, phase: Phase, count: int) -> SignOfLife:
    return SignOfLife(
        rank=rank, host=f"n{rank}", process=100 + rank, step=7, phase=phase, count=count, time=0.0
    )


def write_signs(run: Path, signs: list[SignOfLife]) -> None:
    (run / "ranks").mkdir(parents=True)
    for one in signs:
        path = run / "ranks" / f"{one.rank:05d}.json"
        path.write_text(json.dumps(vars(one)))


def test_the_rank_that_began_less_than_the_others_is_named(tmp_path: Path) -> None:
    signs = [sign(rank, phase="backward", count=31) for rank in (0, 1, 3)]
    write_signs(tmp_path, [*signs, sign(2, phase="forward", count=30)])
    said = describe_ranks(tmp_path, num_ranks=4)
    assert said.startswith("Behind the others is rank 2 (n2, process 102): forward after step 7")
    assert "Ahead is rank 0 (n0, process 100): backward after step 7" in said


def test_many_ranks_that_are_behind_are_counted(tmp_path: Path) -> None:
    signs = [sign(rank, phase="data", count=5) for rank in range(1, 9)]
    write_signs(tmp_path, [sign(0, phase="forward", count=6), *signs])
    said = describe_ranks(tmp_path, num_ranks=9)
    assert "rank 4 (n4, process 104)" in said
    assert "rank 5" not in said
    assert "and 4 more" in said


def test_a_half_written_file_and_one_of_a_larger_world_are_left_out(tmp_path: Path) -> None:
    write_signs(tmp_path, [sign(rank, phase="data", count=5) for rank in (0, 2)])
    (tmp_path / "ranks" / "00001.json").write_text('{"rank": 1, "ho')
    assert [one.rank for one in read_signs(tmp_path, num_ranks=2)] == [0]
    assert describe_ranks(tmp_path, num_ranks=2).startswith("All ranks were last seen alike")
    assert describe_ranks(tmp_path / "elsewhere", num_ranks=2) == ""


def test_ranks_of_an_earlier_start_are_not_named(tmp_path: Path) -> None:
    write_signs(tmp_path, [sign(rank, phase="data", count=5 + rank) for rank in (0, 1)])
    assert "rank 0" in describe_ranks(tmp_path, num_ranks=2)
    assert describe_ranks(tmp_path, num_ranks=2, since=1.0) == ""


def test_a_start_forgets_the_ranks_of_the_one_before(nano_corpora: Path, tmp_path: Path) -> None:
    """One rank that is still importing would else be named with what it did then."""
    write_signs(tmp_path / "nano", [sign(rank, phase="data", count=5) for rank in (0, 7)])
    pretrain(nano_config(nano_corpora, root=tmp_path, words=("run.max_steps=1",)))
    assert [path.name for path in (tmp_path / "nano" / "ranks").iterdir()] == ["00000.json"]
    (seen,) = read_signs(tmp_path / "nano", num_ranks=8)
    assert seen.process == os.getpid()


def start_stuck_ranks(how: str, *, corpora: Path, root: Path) -> subprocess.Popen[str]:
    words = nano_words(
        corpora,
        root=root,
        words=("data.micro_batch_size=2", f"run.collective_timeout_seconds={TIMEOUT_SECONDS}"),
    )
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d"]
    return subprocess.Popen(
        [sys.executable, *launcher, "--rdzv_endpoint=localhost:0", str(STUCK), how, *words],
        env=launcher_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("how", "seconds"), [("dies", 30), ("hangs", TIMEOUT_SECONDS + 30)], ids=["dies", "hangs"]
)
def test_a_rank_that_stops_ends_all_and_is_named_by_rank_0(
    nano_corpora: Path, tmp_path: Path, how: str, seconds: float
) -> None:
    process = start_stuck_ranks(how, corpora=nano_corpora, root=tmp_path)
    try:
        wait_for_phase(tmp_path / "nano", rank=1, phase="forward", process=process)
        began = time.monotonic()
        output, _ = process.communicate(timeout=120)
        assert time.monotonic() - began < seconds, output
    finally:
        end_group(process)
    said = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, output
    assert "Another rank died or hangs" in said[0]
    assert "Behind the others is rank 1" in said[0]
    assert "forward after step 2" in said[0]
    assert f"exitcode  : {LOST_RANK}" in output or "exitcode  : -9" in output
    status = json.loads((tmp_path / "nano" / "status.json").read_text())
    assert status["state"] == "failed"
    assert "Behind the others is rank 1" in status["message"]
    assert (tmp_path / "nano" / "checkpoints" / "step-00000002" / "COMPLETE").is_file()


@pytest.mark.distributed
def test_ranks_that_hang_do_not_outlive_a_killed_launcher(
    nano_corpora: Path, tmp_path: Path
) -> None:
    process = start_stuck_ranks("hangs", corpora=nano_corpora, root=tmp_path)
    try:
        wait_for_phase(tmp_path / "nano", rank=1, phase="forward", process=process)
        ranks = [psutil.Process(one.process) for one in read_signs(tmp_path / "nano", num_ranks=2)]
        assert len(ranks) == 2
        os.kill(process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(ranks, timeout=2 * TIMEOUT_SECONDS + 15)
        assert alive == []
    finally:
        end_group(process)


@pytest.mark.distributed
def test_an_evaluation_whose_other_rank_dies_may_be_tried_again(
    nano_corpora: Path, tmp_path: Path
) -> None:
    """Without torchrun, which would end the rank that is left before it can say anything."""
    checkpoint = write_checkpoint(tmp_path / "model")
    words = [f"checkpoint={checkpoint}", f"data={nano_corpora / 'test'}", "batch_size=1"]
    words.append(f"output={tmp_path / 'report'}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [start_mortal_rank(rank, words=words, port=port) for rank in (0, 1)]
    try:
        output, _ = ranks[0].communicate(timeout=120)
    finally:
        for process in ranks:
            end_group(process)
    assert ranks[1].returncode == -signal.SIGKILL
    assert ranks[0].returncode == LOST_RANK, output
    assert verdict([ranks[0].returncode, ranks[1].returncode]) == LOST
    said = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, output
    assert "Another rank died or hangs" in said[0]
    assert not (tmp_path / "report").exists()


def start_mortal_rank(rank: int, *, words: list[str], port: int) -> subprocess.Popen[str]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return subprocess.Popen(
        [sys.executable, str(MORTAL), *words],
        env=launcher_environment() | {name: str(one) for name, one in (place | meeting).items()},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for_phase(run: Path, *, rank: int, phase: str, process: subprocess.Popen[str]) -> None:
    """Return as soon as a rank is seen in its third step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        seen = [one for one in read_signs(run, num_ranks=2) if one.rank == rank]
        if seen and (seen[0].step, seen[0].phase) == (2, phase):
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError(f"Rank {rank} did not come to its third step.")
