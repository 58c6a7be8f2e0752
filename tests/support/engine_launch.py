"""Starting `engine_rank.py` as a user starts a pretraining: by a file of launchers/accelerate/."""

import dataclasses
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.support.engine_rank import SHAPE
from tests.support.nano_run import ACCELERATE, REPOSITORY, end_group, launcher_environment
from tests.support.small_sam import SAMUS_TINY, small_sam

SCRIPT = REPOSITORY / "tests" / "support" / "engine_rank.py"


class Inputs(NamedTuple):
    """What every engine trains on and from."""

    corpora: Path
    base: Path


class Launch(NamedTuple):
    """What came of one file."""

    folder: Path
    ranks: list[dict[str, Any]]


def save_base(path: Path) -> Path:
    """Write a SAM whose weights the runs of `engine_rank.py` freeze."""
    torch.save(small_sam(dataclasses.replace(SAMUS_TINY, **SHAPE)).state_dict(), path)
    return path


def launch_engine(
    file: str,
    *,
    folder: Path,
    inputs: Inputs,
    num_steps: int,
    foreign: Path | None = None,
    num_gpus: int = 0,
) -> Launch:
    """Run the script to its end, and return what its ranks report.

    Args:
        file: Name in launchers/accelerate/, without its ending.
        folder: Is made, and gets runs, reports and logs.
        inputs: To train on and from.
        num_steps: Taken by hand.
        foreign: Run of another engine to go on from.
        num_gpus: Processes, each on a GPU; 0 takes CPUs, and two where the file says more.
    """
    folder.mkdir()
    words = [str(SCRIPT), str(folder), *map(str, inputs), str(num_steps)]
    words += [] if foreign is None else [str(foreign)]
    typed = _typed(file, num_gpus=num_gpus)
    logs = [folder / f"machine-{number}.log" for number in range(len(typed))]
    machines = [
        _start(file, [*options, *words], log=log, on_gpus=num_gpus > 0)
        for options, log in zip(typed, logs, strict=True)
    ]
    try:
        codes = [machine.wait(timeout=500) for machine in machines]
    finally:
        for machine in machines:
            end_group(machine)
    assert not any(codes), "\n".join(log.read_text() for log in logs)
    reports = sorted(folder.glob("rank-*.json"))
    return Launch(folder=folder, ranks=[json.loads(path.read_text()) for path in reports])


def _typed(file: str, *, num_gpus: int) -> list[list[str]]:
    """Return what is typed on each machine, beside the file; this one stands for two."""
    if file.startswith("several_nodes"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"--main_process_ip 127.0.0.1 --main_process_port {probe.getsockname()[1]}"
        shared = f"--num_machines 2 --num_processes 2 {address}".split()
        return [[*shared, "--machine_rank", str(number)] for number in range(2)]
    if num_gpus or file.startswith("one_node"):
        return [["--num_processes", str(num_gpus or 2)]]
    return [[]]


def _start(file: str, words: list[str], *, log: Path, on_gpus: bool) -> subprocess.Popen[str]:
    environment = launcher_environment()
    if on_gpus:
        del environment["CUDA_VISIBLE_DEVICES"]
    config = str(ACCELERATE / f"{file}.yaml")
    with log.open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, *words],
            env=environment,
            text=True,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
