"""Run by each rank under one engine: hand-made steps, then whole runs, and a report on both.

    accelerate launch --config_file launchers/accelerate/FILE.yaml tests/support/engine_rank.py \
        FOLDER CORPORA STEPS [RUN]

STEPS is how many are taken by hand, by one model where they are few; RUN is a run of another
engine, whose first checkpoint is gone on from.
"""

import json
import math
import shutil
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model import Segmenter, build_segmenter, freeze
from pipeline import PretrainConfig, load_config
from pipeline.batches import TrainingBatch
from pipeline.engines.engine import Engine
from pipeline.optimizer import build_optimizer, trainable_parameters
from pipeline.pretraining import pretrain
from pipeline.process_group import (
    ProcessGroup,
    leave_process_group,
    set_up_process,
    start_process_group,
)
from pipeline.stepper import NonFiniteLossError, Stepper
from pipeline.train_step import TrainingStep
from tests.support.nano_run import losses_of, nano_config
from tests.support.training_batches import (
    NUM_IMAGES,
    SIDE,
    cut_in_two,
    images_of,
    make_batch,
    with_boxes,
)

FIRST_SAVE, LAST_STEP = 4, 14
POISONED_STEP = 50
FEW_STEPS = 4
SHAPE = {"input_size": SIDE, "depth": 2, "global_blocks": (1,), "width": 64, "num_heads": 2}
MODELS: dict[str, dict[str, Any]] = {
    "samus_tiny": {},
    "autosamus_tiny": {"categories": ("disc", "ring")},
}


def options(precision: str) -> PretrainConfig:
    """Return options of the hand-made steps: clipping that bites, a schedule that moves.

    The rate is low: a training is chaotic, and at 1e-4 rounding that differs by 1e-7 has grown to
    1e-3 after fifty steps.
    """
    return load_config(
        PretrainConfig,
        [
            *("run.name=none", "data.train=none", "model.preset=samus_tiny", "run.threads=1"),
            *("optimizer.warmup_steps=5", "optimizer.peak_learning_rate=2e-6"),
            *("optimizer.clip_gradient_norm=0.05", f"run.max_steps={2 * POISONED_STEP}"),
            *(f"data.global_batch_size={NUM_IMAGES}", f"precision={precision}"),
        ],
    )


def batches_of(group: ProcessGroup) -> Iterator[list[TrainingBatch]]:
    """Yield this rank's micro-batches: mixed prompts, an empty half, an empty image.

    No click is drawn from what a pass got wrong: where it falls depends on which pixels are above a
    threshold, and rounding moves it. One process takes the batch whole, a rank of DDP its half
    whole, any other image by image.
    """
    first, second = cut_in_two(make_batch([1, 2, 1, 3], num_passes=1))
    empty, full = cut_in_two(make_batch([0, 0, 2, 1], num_passes=1))
    some, rest = cut_in_two(make_batch([2, 0, 1, 1], num_passes=1))
    steps = [[with_boxes(first), second], [empty, full], [some, with_boxes(rest)]]
    for halves in cycle(steps):
        mine = halves if group.num_ranks == 1 else [halves[group.rank]]
        if "ZeRO" in group.engine:
            mine = [images_of(half, range(at, at + 1)) for half in mine for at in range(2)]
        yield mine


def build(preset: str, *, precision: str, group: ProcessGroup) -> tuple[Segmenter, Engine, Stepper]:
    """Return a model with frozen parts, and what takes its steps."""
    config = options(precision)
    torch.manual_seed(0)
    segmenter = build_segmenter(preset, **SHAPE, **MODELS[preset])
    freeze(segmenter, has_base=True)
    module = TrainingStep(
        segmenter,
        objective=config.objective,
        global_batch_size=NUM_IMAGES,
        num_ranks=group.num_ranks,
        precision=precision,
    )
    engine = group.wrap(
        module.train(),
        build_optimizer(segmenter, config=config.optimizer),
        clip_gradient_norm=config.optimizer.clip_gradient_norm,
    )
    stepper = Stepper(engine, config=config, group=group, average=None, segmenter=segmenter)
    return segmenter, engine, stepper


def take_steps(preset: str, *, precision: str, num_steps: int, group: ProcessGroup) -> Any:
    """Take steps on hand-made batches; return what they cost and what this rank keeps."""
    segmenter, engine, stepper = build(preset, precision=precision, group=group)
    num_frozen = sum(not weight.requires_grad for weight in segmenter.parameters())
    outcomes = [
        stepper.take(mine, step=step)
        for step, mine in enumerate(islice(batches_of(group), num_steps))
    ]
    adam = engine._adam if hasattr(engine, "_adam") else engine._optimizer  # type: ignore[attr-defined]
    return {
        "losses": [outcome.losses["total"] for outcome in outcomes],
        "norms": [outcome.gradient_norm for outcome in outcomes],
        "num_frozen": num_frozen,
        "num_trainable": sum(one.numel() for one in _whole_weights(engine, segmenter).values()),
        "num_moments": sum(state["exp_avg"].numel() for state in adam.state.values()),
        "num_held": sum(one.numel() for one in segmenter.parameters()),
        "dtypes": sorted({str(one.dtype) for one in segmenter.parameters()}),
        "poisoned": poison_a_gradient(segmenter, engine, stepper, group=group),
    }


def poison_a_gradient(
    segmenter: Segmenter, engine: Engine, stepper: Stepper, *, group: ProcessGroup
) -> dict[str, Any]:
    """Let a gradient of the last rank alone be infinite; say what came of the step here."""
    before = _whole_weights(engine, segmenter)
    if group.rank == group.num_ranks - 1:
        weight = next(iter(trainable_parameters(segmenter).values()))
        weight.register_hook(lambda gradient: gradient * math.inf)
    message = ""
    try:
        stepper.take(next(batches_of(group)), step=POISONED_STEP)
    except NonFiniteLossError as error:
        message = str(error)
    after = _whole_weights(engine, segmenter)
    is_unmoved = all(torch.equal(before[name], after[name]) for name in before)
    return {"message": message, "is_unmoved": is_unmoved}


def _whole_weights(engine: Engine, module: nn.Module) -> dict[str, torch.Tensor]:
    with engine.whole() as segmenter:
        names = trainable_parameters(module)
        whole = dict(segmenter.named_parameters())
        return {name: whole[name].detach().clone() for name in names}


def train(name: str, *, folder: Path, corpora: Path, words: tuple[str, ...] = ()) -> Any:
    """Train the run of that name to its end; return its losses after the first checkpoint."""
    shape = {
        key: list(value) if isinstance(value, tuple) else value for key, value in SHAPE.items()
    }
    config = nano_config(
        corpora,
        root=folder,
        words=(
            *(f"run.name={name}", f"run.max_steps={LAST_STEP}", "checkpoint.keep=9"),
            *(f"checkpoint.every_steps={FIRST_SAVE}", "data.micro_batch_size=2"),
            *("optimizer.ema_decay=0.9", "optimizer.peak_learning_rate=1e-4"),
            *(f"model.overrides.{key}={value}" for key, value in shape.items()),
            *words,
        ),
    )
    pretrain(config)
    return [one for step, one in sorted(losses_of(folder / name).items()) if step > FIRST_SAVE]


def go_on_from(run: Path, *, name: str, folder: Path, corpora: Path, group: ProcessGroup) -> Any:
    """Train on from the first checkpoint of another run."""
    step = f"checkpoints/step-{FIRST_SAVE:08d}"
    group.on_main(lambda: shutil.copytree(run / step, folder / name / step) and None)
    return train(name, folder=folder, corpora=corpora, words=("checkpoint.every_steps=100",))


def report_on(
    group: ProcessGroup, *, folder: Path, corpora: Path, num_steps: int, foreign: Path | None
) -> Any:
    """Do it all; return what this rank has to say."""
    steps = {
        preset: take_steps(preset, precision="float32", num_steps=num_steps, group=group)
        for preset in (MODELS if num_steps > FEW_STEPS else ["samus_tiny"])
    }
    bfloat16 = take_steps("samus_tiny", precision="bfloat16", num_steps=FEW_STEPS, group=group)
    scored = (f"data.validation={corpora / 'validation'}", "validation.every_steps=null")
    whole = train("whole", folder=folder, corpora=corpora, words=scored)
    places = {"folder": folder, "corpora": corpora, "group": group}
    again = go_on_from(folder / "whole", name="again", **places)
    others = None if foreign is None else go_on_from(foreign, name="foreign", **places)
    return {
        "engine": group.engine,
        "num_ranks": group.num_ranks,
        "steps": steps,
        "bfloat16": bfloat16,
        "whole": whole,
        "again": again,
        "foreign": others,
    }


if __name__ == "__main__":
    home, data = (Path(word) for word in sys.argv[1:3])
    other = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    run = options("float32").run
    ranks = start_process_group(run, precision="float32")
    set_up_process(run, group=ranks)
    found = report_on(ranks, folder=home, corpora=data, num_steps=int(sys.argv[3]), foreign=other)
    (home / f"rank-{ranks.rank}.json").write_text(json.dumps(found))
    leave_process_group()
