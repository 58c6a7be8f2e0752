"""Launchers of two ranks that start in no time: everything is imported once, then forked.

    python tests/support/forked_launcher.py < REQUESTS

A request is a line of JSON with `folder`, `words` and `fault`. Each gets a launcher of its own,
torchrun's agent as `accelerate launch` runs it, but with ranks that are forks instead of new
interpreters. `folder` gets `log`, the process ids, and at the end `exit_code`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import launchers.pretrain

# So that the ranks find it imported, with all that it takes.
import pipeline.pretraining  # noqa: F401 # pyright: ignore[reportUnusedImport]
from tests.support.fault_injection import (
    Fault,
    die_of_signals_alone,
    inject,
    leave_process_ids,
)


def main() -> None:
    """Fork a launcher for every line."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if os.fork() == 0:
            _keep_launcher(json.loads(line))


def _keep_launcher(request: dict[str, Any]) -> None:
    """Fork the launcher and write down how it ended, as the shell of a user would know it."""
    folder = Path(request["folder"])
    os.setsid()
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    launcher = os.fork()
    if launcher == 0:
        os._exit(_launch(request))
    _, status = os.waitpid(launcher, 0)
    aside = folder / "exit_code.partial"
    aside.write_text(str(os.waitstatus_to_exitcode(status)))
    aside.replace(folder / "exit_code")
    os._exit(0)


def _launch(request: dict[str, Any]) -> int:
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id=str(os.getpid()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
    )
    try:
        elastic_launch(config, _train)(request)
    except (ChildFailedError, SignalException):
        return 1
    return 0


def _train(request: dict[str, Any]) -> None:
    die_of_signals_alone()
    folder = Path(request["folder"])
    leave_process_ids(folder)
    if request["fault"] is not None:
        inject(Fault(**request["fault"]), folder=folder)
    sys.argv = ["pretrain.py", *request["words"]]
    sys.exit(launchers.pretrain.main())


if __name__ == "__main__":
    main()
