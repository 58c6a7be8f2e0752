"""Run by each of two ranks: some steps on hand-made halves, and a report for the test to read.

    torchrun --nproc_per_node 2 tests/support/one_rank.py FOLDER

Run alone, it takes the same steps on the whole batches.
"""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from pipeline import PretrainConfig, load_config
from pipeline.batches import TrainingBatch
from pipeline.optimizer import build_optimizer
from pipeline.process_group import (
    ProcessGroup,
    leave_process_group,
    set_up_process,
    start_process_group,
)
from pipeline.requests import Requests, agree
from pipeline.stepper import NonFiniteLossError, Stepper
from pipeline.train_step import TrainingStep
from tests.support.training_batches import (
    NUM_IMAGES,
    cut_in_two,
    make_batch,
    nano_segmenter,
    with_boxes,
)

OPTIONS = (
    *("run.name=none", "data.train=none", "model.preset=samus_tiny", "run.threads=1"),
    *(
        "optimizer.schedule=constant",
        "optimizer.warmup_steps=0",
        f"data.global_batch_size={NUM_IMAGES}",
    ),
    *("data.micro_batch_size=2",),
)


def global_batches() -> list[list[TrainingBatch]]:
    """Return the two halves of three steps: mixed prompts, an empty half, an empty image."""
    first, second = cut_in_two(make_batch([1, 2, 1, 3]))
    empty, full = cut_in_two(make_batch([0, 0, 2, 1]))
    some, rest = cut_in_two(make_batch([2, 0, 1, 1]))
    return [[with_boxes(first), second], [empty, full], [some, with_boxes(rest)]]


def refuse_nan(stepper: Stepper, segmenter: nn.Module, *, group: ProcessGroup) -> dict[str, Any]:
    """Take a step whose second half alone is not finite; say what came of it here."""
    good, bad = cut_in_two(make_batch([1, 1, 1, 1]))
    halves = [good, dataclasses.replace(bad, images=bad.images * math.nan)]
    mine = halves if group.num_ranks == 1 else [halves[group.rank]]
    before = [weights.detach().clone() for weights in segmenter.parameters()]
    message = ""
    try:
        stepper.take(mine, step=3)
    except NonFiniteLossError as error:
        message = str(error)
    pairs = zip(before, segmenter.parameters(), strict=True)
    is_unmoved = all(torch.equal(old, new) for old, new in pairs)
    return {"message": message, "is_unmoved": is_unmoved, "bad_keys": list(bad.keys)}


def take_steps(group: ProcessGroup, folder: Path) -> None:
    """Take the steps and write what came of them."""
    config = load_config(PretrainConfig, list(OPTIONS))
    set_up_process(config.run, group=group)
    segmenter = nano_segmenter()
    module = TrainingStep(
        segmenter,
        objective=config.objective,
        global_batch_size=NUM_IMAGES,
        num_ranks=group.num_ranks,
    )
    optimizer = build_optimizer(segmenter, config=config.optimizer)
    engine = group.wrap(module, optimizer, clip_gradient_norm=config.optimizer.clip_gradient_norm)
    stepper = Stepper(engine, config=config, group=group, average=None, segmenter=segmenter)
    reports = []
    for step, halves in enumerate(global_batches()):
        mine = halves if group.num_ranks == 1 else [halves[group.rank]]
        # Only rank 1 was signalled; every rank has to learn of it.
        wishes = Requests(stop_signal=12 if group.rank == 1 and step == 2 else 0)
        outcome = stepper.take(mine, step=step)
        reports.append(
            {
                "loss": outcome.losses["total"],
                "norm": outcome.gradient_norm,
                "num_masks": outcome.num_masks,
                "stop_signal": agree(wishes, group=group).stop_signal,
            }
        )
    save_file(
        segmenter.state_dict(), folder / f"rank-{group.rank}-of-{group.num_ranks}.safetensors"
    )
    report = {
        "num_ranks": group.num_ranks,
        "initialized": torch.distributed.is_initialized(),
        "engine": group.engine,
        "steps": reports,
        "refusal": refuse_nan(stepper, segmenter, group=group),
    }
    (folder / f"rank-{group.rank}-of-{group.num_ranks}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    ranks = start_process_group(load_config(PretrainConfig, list(OPTIONS)).run, precision="float32")
    take_steps(ranks, Path(sys.argv[1]))
    leave_process_group()
