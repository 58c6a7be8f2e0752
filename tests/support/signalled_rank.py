"""Run by each of two ranks: a pretraining whose last rank is signalled within its first validation.

    torchrun --nproc_per_node 2 tests/support/signalled_rank.py FOLDER CORPORA

Run alone, the only rank is the one that is signalled.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation import SegmenterPredictor
from pipeline.batches import TrainingBatch
from pipeline.pretraining import pretrain
from pipeline.process_group import leave_process_group
from pipeline.stepper import Stepper
from tests.support.nano_run import nano_config


def signal_this_process_within_validation() -> None:
    """Let the first call of `predict` begin with a SIGTERM to this process."""
    original, calls = SegmenterPredictor.predict, iter(range(1000))

    def with_signal(*args: Any, **keywords: Any) -> Any:
        if next(calls) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args, **keywords)

    SegmenterPredictor.predict = with_signal


def note_what_is_trained_on() -> list[list[str]]:
    """Return what will hold the keys of the samples that this process trains on, step by step."""
    original, keys = Stepper.take, []

    def with_note(self: Stepper, micro_batches: Sequence[TrainingBatch], *, step: int) -> Any:
        keys.append([key for batch in micro_batches for key in batch.keys])
        return original(self, micro_batches, step=step)

    Stepper.take = with_note
    return keys


if __name__ == "__main__":
    folder, corpora = Path(sys.argv[1]), Path(sys.argv[2])
    rank, num_ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if rank == num_ranks - 1:
        signal_this_process_within_validation()
    words = (
        f"data.validation={corpora / 'validation'}",
        "validation.every_steps=2",
        "validation.batch_size=1",
        f"data.micro_batch_size={4 // num_ranks}",
    )
    keys = note_what_is_trained_on()
    result = pretrain(nano_config(corpora, root=folder, words=words))
    report: dict[str, Any] = {
        "step": result.step,
        "exit_code": result.exit_code,
        "message": result.message,
    }
    report["keys"] = keys
    (folder / f"rank-{rank}-of-{num_ranks}.json").write_text(json.dumps(report))
    leave_process_group()
