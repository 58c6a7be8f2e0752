"""Starting `engine_rank.py` as a user starts a pretraining: by a file of launchers/accelerate/."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.nano_run import ACCELERATE, REPOSITORY, launcher_environment

SCRIPT = REPOSITORY / "tests" / "support" / "engine_rank.py"


class Launch(NamedTuple):
    """What came of one file."""

    folder: Path
    ranks: list[dict[str, Any]]


def launch_engine(
    file: str,
    *,
    folder: Path,
    corpora: Path,
    num_steps: int,
    foreign: Path | None = None,
    num_gpus: int = 0,
) -> Launch:
    """Run the script to its end, and return what its ranks report.

    Args:
        file: Name in launchers/accelerate/, without its ending.
        folder: Is made, and gets runs and reports.
        corpora: To train on.
        num_steps: Taken by hand.
        foreign: Run of another engine to go on from.
        num_gpus: Processes, each on a GPU; 0 takes the CPU and as many as the file says.
    """
    folder.mkdir()
    config = str(ACCELERATE / f"{file}.yaml")
    command = ["-m", "accelerate.commands.launch", "--config_file", config]
    environment = launcher_environment()
    if num_gpus:
        command += ["--num_processes", str(num_gpus)]
        del environment["CUDA_VISIBLE_DEVICES"]
    words = [
        str(folder),
        str(corpora),
        str(num_steps),
        *([] if foreign is None else [str(foreign)]),
    ]
    answer = subprocess.run(
        [sys.executable, *command, str(SCRIPT), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    reports = sorted(folder.glob("rank-*.json"))
    return Launch(folder=folder, ranks=[json.loads(path.read_text()) for path in reports])
