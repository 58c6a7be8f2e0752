"""DDP and ZeRO, on one process and two, are one training, and write one kind of checkpoint."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.engine_launch import Inputs, Launch, launch_engine, save_base
from tests.support.engine_rank import (
    FEW_STEPS,
    FIRST_SAVE,
    LAST_STEP,
    MODELS,
    run_options,
    take_first_checkpoint,
    train,
    whole_batches,
)

ENGINES = {
    "one_cpu": ("one process", 1),
    "one_node_zero2": ("ZeRO-2 over gloo", 2),
    "one_cpu_zero3": ("ZeRO-3 over gloo", 1),
    "two_cpu_processes": ("DDP over gloo", 2),
    "one_cpu_zero1": ("ZeRO-1 over gloo", 1),
    "two_cpu_processes_zero3": ("ZeRO-3 over gloo", 2),
    "one_cpu_zero2": ("ZeRO-2 over gloo", 1),
    "several_nodes_zero1": ("ZeRO-1 over gloo", 2),
}
"""File of launchers/accelerate/, and what it starts. Each goes on from a checkpoint of the one
before it, and the first from one of the last: engine and number of ranks change every time."""

ZERO_ON_TWO_RANKS = {
    int(engine[5]): file
    for file, (engine, num_ranks) in ENGINES.items()
    if engine.startswith("ZeRO") and num_ranks == 2
}
"""The file of each stage."""

NUM_STEPS = 50
TAKE_ALL_STEPS = {"one_cpu", "one_node_zero2", "two_cpu_processes", "several_nodes_zero1"}
"""The others take few, with SAMUS alone: ZeRO on one process parts nothing, and ZeRO-3 is slow."""

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


@pytest.fixture(scope="module")
def inputs(nano_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    base = save_base(tmp_path_factory.mktemp("base") / "sam.pth")
    return Inputs(corpora=nano_corpora, base=base)


@pytest.fixture(scope="module")
def launches(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Launch]:
    """Every file once, each going on from the checkpoint of the one before, too."""
    root = tmp_path_factory.mktemp("engines")
    found: dict[str, Launch] = {}
    before: Path | None = None
    for file in ENGINES:
        found[file] = launch_engine(
            file,
            folder=root / file,
            inputs=inputs,
            num_steps=NUM_STEPS if file in TAKE_ALL_STEPS else FEW_STEPS,
            foreign=before,
        )
        before = root / file / "whole"
    return found


@pytest.mark.parametrize("file", ENGINES)
def test_a_launcher_file_starts_the_engine_that_it_names(
    file: str, launches: dict[str, Launch]
) -> None:
    engine, num_ranks = ENGINES[file]
    found = [(rank["engine"], rank["num_ranks"]) for rank in launches[file].ranks]
    assert found == [(engine, num_ranks)] * num_ranks


@pytest.mark.parametrize(
    ("file", "preset"),
    [
        (file, preset)
        for file in list(ENGINES)[1:]
        for preset in (MODELS if file in TAKE_ALL_STEPS else ["samus_tiny"])
    ],
)
def test_every_engine_takes_the_steps_of_one_process(
    file: str, preset: str, launches: dict[str, Launch]
) -> None:
    """With frozen parts, boxes beside clicks, empty images, clipping, and accumulated image by
    image; under ZeRO-3 with activations computed again."""
    alone = launches["one_cpu"].ranks[0]["steps"][preset]
    assert alone["num_frozen"] > 0
    assert max(alone["norms"]) > 0.05  # clipping bites
    for rank in launches[file].ranks:
        steps = rank["steps"][preset]
        num_steps = len(steps["losses"])
        assert num_steps == (NUM_STEPS if file in TAKE_ALL_STEPS else FEW_STEPS)
        assert steps["losses"] == pytest.approx(alone["losses"][:num_steps], abs=1e-5)
        # Rounding grows from step to step, and a gradient shows it sooner than a loss.
        first = slice(0, min(num_steps, 6))
        assert steps["norms"][first] == pytest.approx(alone["norms"][first], rel=1e-3)


@pytest.mark.parametrize("file", ENGINES)
def test_accumulated_steps_are_those_of_the_whole_batch(
    file: str, launches: dict[str, Launch]
) -> None:
    """As one process takes them, all images at once."""
    uncut = launches["one_cpu"].ranks[0]["uncut"]
    assert len(uncut["losses"]) == FEW_STEPS
    for rank in launches[file].ranks:
        steps = rank["steps"]["samus_tiny"]
        assert steps["losses"][:FEW_STEPS] == pytest.approx(uncut["losses"], abs=1e-5)
        assert steps["norms"][:FEW_STEPS] == pytest.approx(uncut["norms"], rel=1e-3)


@pytest.mark.parametrize("preset", MODELS)
def test_fifty_steps_move_the_losses_by_far_more_than_engines_differ(
    preset: str, launches: dict[str, Launch]
) -> None:
    """Or an engine that moves nothing would take them all alike."""
    losses = launches["one_cpu"].ranks[0]["steps"][preset]["losses"]
    assert len(losses) == NUM_STEPS
    num_batches = len(whole_batches())
    for first in range(num_batches):
        of_one_batch = losses[first::num_batches]
        assert of_one_batch[0] - of_one_batch[-1] > 1e-4


@pytest.mark.parametrize("file", sorted(TAKE_ALL_STEPS - {"one_cpu"}))
@pytest.mark.parametrize("preset", MODELS)
def test_every_engine_ends_fifty_steps_with_the_weights_of_one_process(
    file: str, preset: str, launches: dict[str, Launch]
) -> None:
    alone, found = (
        load_file(launches[one].folder / f"moved-{preset}-float32.safetensors")
        for one in ("one_cpu", file)
    )
    assert found.keys() == alone.keys()
    assert _distance(found, alone) < 0.05 * _length(alone)


def _distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    return _length({name: found[name] - one for name, one in expected.items()})


def _length(tensors: dict[str, Tensor]) -> float:
    return float(torch.cat([one.double().flatten() for one in tensors.values()]).norm())


@pytest.mark.parametrize("file", ENGINES)
def test_a_gradient_that_is_not_finite_moves_no_weight_of_any_rank(
    file: str, launches: dict[str, Launch]
) -> None:
    for rank in launches[file].ranks:
        for steps in rank["steps"].values():
            assert "gradient of step 51 is not finite" in steps["poisoned"]["message"]
            assert steps["poisoned"]["is_unmoved"]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_keeps_half_of_the_moments_on_each_of_two_ranks(
    stage: int, launches: dict[str, Launch]
) -> None:
    (whole, *_) = (rank["steps"]["samus_tiny"] for rank in launches["two_cpu_processes"].ranks)
    assert whole["num_moments"] == whole["num_trainable"]
    for rank in launches[ZERO_ON_TWO_RANKS[stage]].ranks:
        steps = rank["steps"]["samus_tiny"]
        assert steps["num_trainable"] == whole["num_trainable"]
        assert steps["num_moments"] < 0.51 * whole["num_moments"]
        # Of stage 3 alone the weights themselves are parted, but for small ones.
        is_parted = steps["num_held"] < 0.5 * whole["num_held"]
        assert is_parted == (stage == 3)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_does_not_start_where_a_rank_keeps_too_many_moments(
    stage: int, launches: dict[str, Launch]
) -> None:
    """Half of them, with the limit set below that."""
    for rank in launches[ZERO_ON_TWO_RANKS[stage]].ranks:
        assert f"ZeRO-{stage} was asked for, but this rank keeps" in rank["no_partition"]
    assert all(rank["no_partition"] == "" for rank in launches["one_cpu_zero1"].ranks)


@pytest.mark.parametrize("file", list(ENGINES)[1:])
def test_bfloat16_keeps_float32_weights_and_is_alike(
    file: str, launches: dict[str, Launch]
) -> None:
    alone = launches["one_cpu"].ranks[0]["bfloat16"]
    in_float32 = launches["one_cpu"].ranks[0]["steps"]["samus_tiny"]
    assert alone["losses"] != in_float32["losses"][:FEW_STEPS]
    for rank in launches[file].ranks:
        assert rank["bfloat16"]["dtypes"] == ["torch.float32"]
        assert rank["bfloat16"]["losses"] == pytest.approx(alone["losses"], abs=1e-3)


@pytest.mark.parametrize("file", ENGINES)
def test_a_run_goes_on_bit_for_bit_on_the_same_engine(
    file: str, launches: dict[str, Launch]
) -> None:
    for rank in launches[file].ranks:
        assert len(rank["whole"]["losses"]) == LAST_STEP - FIRST_SAVE
        assert rank["again"] == rank["whole"]
    last = f"checkpoints/step-{LAST_STEP:08d}"
    for name in ("weights", "optimizer", "ema"):
        one, other = (
            (launches[file].folder / run / last / f"{name}.safetensors").read_bytes()
            for run in ("whole", "again")
        )
        assert one == other, name


@pytest.mark.parametrize(("saved_by", "file"), list(zip(ENGINES, list(ENGINES)[1:], strict=False)))
def test_a_run_goes_on_under_another_engine(
    saved_by: str, file: str, launches: dict[str, Launch]
) -> None:
    expected = _losses(launches[saved_by].ranks[0]["whole"])
    for rank in launches[file].ranks:
        assert _losses(rank["foreign"]) == pytest.approx(expected, abs=1e-6)


def test_a_run_of_the_last_engine_goes_on_under_the_first(
    launches: dict[str, Launch], inputs: Inputs, tmp_path: Path
) -> None:
    last = launches[list(ENGINES)[-1]]
    take_first_checkpoint(last.folder / "whole", into=tmp_path / "foreign")
    found = train(run_options("foreign", folder=tmp_path, **inputs._asdict()))
    assert _losses(found) == pytest.approx(_losses(last.ranks[0]["whole"]), abs=1e-6)


def _losses(run: dict[str, list[list[float]]]) -> list[float]:
    return [loss for loss, _ in run["losses"]]


@pytest.mark.parametrize("file", ENGINES)
def test_a_frozen_base_is_in_no_checkpoint_and_stays_bit_for_bit(
    file: str, launches: dict[str, Launch]
) -> None:
    """Also in runs that went on from the checkpoint of their own or another engine."""
    runs = ["whole", "again", *(["foreign"] if file != "one_cpu" else [])]
    for rank in launches[file].ranks:
        for run in runs:
            frozen = rank[run]["frozen"]
            assert "image_encoder.patch_embed.proj.weight" in frozen
            assert rank[run]["changed"] == []
            for name in ("weights", "optimizer", "ema"):
                path = _checkpoint(launches[file].folder / run, step=LAST_STEP) / name
                saved = load_file(path.with_suffix(".safetensors"))
                assert len(saved) > 50
                assert not [one for one in saved if one.startswith(tuple(frozen))]


@pytest.mark.parametrize("file", list(ENGINES)[1:])
@pytest.mark.parametrize("name", ["weights", "optimizer", "ema"])
def test_checkpoints_of_all_engines_hold_the_same_tensors(
    file: str, name: str, launches: dict[str, Launch]
) -> None:
    """So whatever one engine goes on from, it goes on from all."""
    for step in (FIRST_SAVE, LAST_STEP):
        alone, found = (
            load_file(
                _checkpoint(launches[one].folder / "whole", step=step) / f"{name}.safetensors"
            )
            for one in ("one_cpu", file)
        )
        assert _described(found) == _described(alone)
        for key, expected in alone.items():
            assert (found[key] - expected).norm() <= 1e-4 * expected.norm(), key


def _checkpoint(run: Path, *, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def _described(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (one.shape, one.dtype) for name, one in tensors.items()}


def test_every_save_is_timed_and_weighed(launches: dict[str, Launch]) -> None:
    for one in launches.values():
        lines = (one.folder / "whole" / "metrics.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if row["kind"] == "checkpoint"]
        assert [row["step"] for row in rows] == [4, 8, 12, 14]
        assert all(row["checkpoint/seconds"] > 0 for row in rows)
        assert all(0.001 < row["checkpoint/gibibytes"] < 0.1 for row in rows)
