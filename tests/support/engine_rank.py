"""Run by each rank under one engine: hand-made steps, then whole runs, and a report on both.

    accelerate launch --config_file launchers/accelerate/FILE.yaml tests/support/engine_rank.py \
        FOLDER CORPORA BASE STEPS [RUN]

BASE is what the whole runs freeze; STEPS is how many are taken by hand, by one model where they are
few; RUN is a run of another engine, whose first checkpoint is gone on from.
"""

import contextlib
import json
import math
import shutil
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

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
from pipeline.segmenter_setup import prepare_segmenter
from pipeline.stepper import NonFiniteLossError, Stepper
from pipeline.train_step import TrainingStep
from tests.support.nano_run import losses_of, nano_config
from tests.support.training_batches import (
    NUM_IMAGES,
    SIDE,
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
PEAK_LEARNING_RATES = {"samus_tiny": 5e-6, "autosamus_tiny": 1e-5}
"""Low ones: a training is chaotic. Rounding that differs by 1e-7 stays below 2e-6 over fifty steps
with these. With twice that of SAMUS it reaches 1e-5, with ten times that of AutoSAMUS 3e-5."""


def options(precision: str, *, preset: str = "samus_tiny") -> PretrainConfig:
    """Return options of the hand-made steps: clipping that bites, a schedule that moves."""
    return load_config(
        PretrainConfig,
        [
            *("run.name=none", "data.train=none", f"model.preset={preset}", "run.threads=1"),
            "optimizer.warmup_steps=5",
            f"optimizer.peak_learning_rate={PEAK_LEARNING_RATES[preset]}",
            *("optimizer.clip_gradient_norm=0.05", f"run.max_steps={2 * POISONED_STEP}"),
            *(f"data.global_batch_size={NUM_IMAGES}", f"precision={precision}"),
        ],
    )


def whole_batches() -> list[TrainingBatch]:
    """Return what steps take in turn: mixed prompts, an empty half, an empty image.

    No click is drawn from what a pass got wrong: where it falls depends on which pixels are above a
    threshold, and rounding moves it.
    """
    return [
        with_boxes(make_batch([1, 2, 1, 3], num_passes=1), range(2)),
        make_batch([0, 0, 2, 1], num_passes=1),
        with_boxes(make_batch([2, 0, 1, 1], num_passes=1), range(2, 4)),
    ]


def batches_of(group: ProcessGroup, *, is_cut: bool = True) -> Iterator[list[TrainingBatch]]:
    """Yield this rank's micro-batches: one for each of its images, or for all of them."""
    share = NUM_IMAGES // group.num_ranks
    size = 1 if is_cut else share
    starts = range(group.rank * share, (group.rank + 1) * share, size)
    for batch in cycle(whole_batches()):
        yield [images_of(batch, range(start, start + size)) for start in starts]


def build(preset: str, *, precision: str, group: ProcessGroup) -> tuple[Segmenter, Engine, Stepper]:
    """Return a model with frozen parts, and what takes its steps.

    Under ZeRO-3 its float32 steps compute the encoder's activations again, through weights that are
    frozen and parted.
    """
    config = options(precision, preset=preset)
    torch.manual_seed(0)
    segmenter = build_segmenter(preset, **SHAPE, **MODELS[preset])
    freeze(segmenter, has_base=True)
    segmenter.set_activation_checkpointing("ZeRO-3" in group.engine and precision == "float32")
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


def take_uncut_steps(*, group: ProcessGroup) -> Any:
    """Take a few steps without accumulating; return what they cost."""
    _, _, stepper = build("samus_tiny", precision="float32", group=group)
    batches = islice(batches_of(group, is_cut=False), FEW_STEPS)
    outcomes = [stepper.take(mine, step=step) for step, mine in enumerate(batches)]
    return {
        "losses": [outcome.losses["total"] for outcome in outcomes],
        "norms": [outcome.gradient_norm for outcome in outcomes],
    }


def take_steps(
    preset: str, *, precision: str, num_steps: int, group: ProcessGroup, folder: Path
) -> Any:
    """Take steps on hand-made batches; return what they cost and what this rank keeps.

    How far the weights moved is left in `moved-PRESET-PRECISION.safetensors`.
    """
    segmenter, engine, stepper = build(preset, precision=precision, group=group)
    num_frozen = sum(not weight.requires_grad for weight in segmenter.parameters())
    before = _whole_weights(engine, segmenter)
    outcomes = [
        stepper.take(mine, step=step)
        for step, mine in enumerate(islice(batches_of(group), num_steps))
    ]
    after = _whole_weights(engine, segmenter)
    if group.is_main:
        moved = {name: (after[name] - before[name]).cpu() for name in after}
        save_file(moved, folder / f"moved-{preset}-{precision}.safetensors")
    adam = engine._adam if hasattr(engine, "_adam") else engine._optimizer  # type: ignore[attr-defined]
    return {
        "losses": [outcome.losses["total"] for outcome in outcomes],
        "norms": [outcome.gradient_norm for outcome in outcomes],
        "num_frozen": num_frozen,
        "num_trainable": sum(one.numel() for one in after.values()),
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


def message_of_no_partition(group: ProcessGroup) -> str:
    """Say how an engine of ZeRO refuses to start where a rank's half of the moments is too much."""
    share = "pipeline.engines.deepspeed_engine.UNPARTITIONED_SHARE"
    if "ZeRO" not in group.engine:
        return ""
    with mock.patch(share, 0.4):
        try:
            build("samus_tiny", precision="float32", group=group)
        except RuntimeError as error:
            return str(error)
    return ""


def _whole_weights(engine: Engine, module: nn.Module) -> dict[str, Tensor]:
    with engine.whole() as segmenter:
        names = trainable_parameters(module)
        whole = dict(segmenter.named_parameters())
        return {name: whole[name].detach().clone() for name in names}


def run_options(
    name: str, *, folder: Path, corpora: Path, base: Path, words: tuple[str, ...] = ()
) -> PretrainConfig:
    """Return the options of a whole run beside a frozen base; later words win."""
    shape = {
        key: list(value) if isinstance(value, tuple) else value for key, value in SHAPE.items()
    }
    return nano_config(
        corpora,
        root=folder,
        words=(
            *(f"run.name={name}", f"run.max_steps={LAST_STEP}", "checkpoint.keep=9"),
            *(f"checkpoint.every_steps={FIRST_SAVE}", "data.micro_batch_size=2"),
            *("optimizer.ema_decay=0.9", "optimizer.peak_learning_rate=1e-4"),
            *(f"model.overrides.{key}={value}" for key, value in shape.items()),
            *(f"model.base={base}", *words),
        ),
    )


def train(config: PretrainConfig) -> dict[str, Any]:
    """Train a run to its end; return its losses after the first checkpoint, and its frozen part."""
    frozen = {
        name: weight.detach().clone()
        for name, weight in prepare_segmenter(config, categories=()).segmenter.named_parameters()
        if not weight.requires_grad
    }
    with _engines_made() as engines:
        folder = pretrain(config).folder.path
    with engines[-1].whole() as segmenter:
        now = dict(segmenter.named_parameters())
        changed = [name for name, one in frozen.items() if not torch.equal(one, now[name].cpu())]
    losses = losses_of(folder)
    return {
        "losses": [losses[step] for step in sorted(losses) if step > FIRST_SAVE],
        "frozen": sorted(frozen),
        "changed": changed,
    }


@contextlib.contextmanager
def _engines_made() -> Iterator[list[Engine]]:
    """Collect the engines that runs make in the meantime."""
    made: list[Engine] = []
    wrap = ProcessGroup.wrap

    def keep(group: ProcessGroup, *parts: Any, **choices: Any) -> Engine:
        made.append(wrap(group, *parts, **choices))
        return made[-1]

    with mock.patch.object(ProcessGroup, "wrap", keep):
        yield made


def take_first_checkpoint(run: Path, *, into: Path) -> None:
    """Give a run that is to begin the first checkpoint of another."""
    step = f"checkpoints/step-{FIRST_SAVE:08d}"
    shutil.copytree(run / step, into / step)


def go_on_from(run: Path, *, name: str, group: ProcessGroup, folder: Path, **places: Path) -> Any:
    """Train on from the first checkpoint of another run."""
    group.on_main(lambda: take_first_checkpoint(run, into=folder / name))
    words = ("checkpoint.every_steps=100",)
    return train(run_options(name, folder=folder, words=words, **places))


def report_on(
    group: ProcessGroup, *, num_steps: int, foreign: Path | None, folder: Path, **places: Any
) -> Any:
    """Do it all; return what this rank has to say."""
    here: dict[str, Any] = {"group": group, "folder": folder}
    steps = {
        preset: take_steps(preset, precision="float32", num_steps=num_steps, **here)
        for preset in (MODELS if num_steps > FEW_STEPS else ["samus_tiny"])
    }
    bfloat16 = take_steps("samus_tiny", precision="bfloat16", num_steps=FEW_STEPS, **here)
    words = (f"data.validation={places['corpora'] / 'validation'}", "validation.every_steps=null")
    whole = train(run_options("whole", folder=folder, words=words, **places))
    again = go_on_from(folder / "whole", name="again", **here, **places)
    others = None if foreign is None else go_on_from(foreign, name="foreign", **here, **places)
    return {
        "engine": group.engine,
        "num_ranks": group.num_ranks,
        "steps": steps,
        "bfloat16": bfloat16,
        "uncut": take_uncut_steps(group=group) if group.engine == "one process" else None,
        "no_partition": message_of_no_partition(group),
        "whole": whole,
        "again": again,
        "foreign": others,
    }


if __name__ == "__main__":
    home, data, frozen_base = (Path(word) for word in sys.argv[1:4])
    other = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    run = options("float32").run
    ranks = start_process_group(run, precision="float32")
    set_up_process(run, group=ranks)
    found = report_on(
        ranks,
        num_steps=int(sys.argv[4]),
        foreign=other,
        folder=home,
        corpora=data,
        base=frozen_base,
    )
    (home / f"rank-{ranks.rank}.json").write_text(json.dumps(found))
    leave_process_group()
