"""Run by each of two ranks: a pretraining whose last rank stops in its third step.

torchrun --nproc_per_node 2 tests/support/stuck_rank.py hangs|dies key=value ...
"""

import os
import signal
import sys
import time
from typing import Any

from launchers.command_line import run_command
from launchers.pretrain import run
from pipeline import PretrainConfig
from pipeline.train_step import TrainingStep


def stop_in_third_step(how: str) -> None:
    """Let the third forward pass of this process never end, or kill it."""
    original, calls = TrainingStep.forward, iter(range(1, 1000))

    def forward(*args: Any, **keywords: Any) -> Any:
        if next(calls) == 3:
            # Longer than the other rank needs to be seen waiting, and to be written down so.
            time.sleep(2 if how == "dies" else 600)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **keywords)

    TrainingStep.forward = forward


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        stop_in_third_step(sys.argv[1])
    sys.exit(run_command(PretrainConfig, run, arguments=sys.argv[2:]))
