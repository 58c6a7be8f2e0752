"""Checkpoints are whole or not there, and their optimizer state comes back bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from model import verify_complete
from pipeline.checkpoint import (
    CheckpointTensors,
    mark_best,
    prune_checkpoints,
    step_folders,
    write_checkpoint,
)
from pipeline.config import OptimizerConfig
from pipeline.ema import MovingAverage, weights_replaced
from pipeline.optimizer import build_optimizer, load_optimizer_state, optimizer_state
from pipeline.resume import checkpoint_to_resume
from pipeline.run_folder.state import BestScore, RunIdentity, RunState, read_run_state

IDENTITY = RunIdentity(
    stream={"global_batch_size": 4, "seed": 0, "sources": []},
    architecture={"kind": "samus"},
    base_sha256=None,
)


def write(checkpoints: Path, *, step: int) -> Path:
    return write_checkpoint(
        checkpoints,
        state=RunState(identity=IDENTITY, step=step),
        base=None,
        tensors=CheckpointTensors(
            weights={"weight": torch.full((3,), float(step))}, optimizer={}, average=None
        ),
    )


def small_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))


def test_a_checkpoint_is_complete_and_holds_every_hash(tmp_path: Path) -> None:
    folder = write(tmp_path, step=12)
    assert folder.name == "step-00000012"
    verify_complete(folder)
    marker = json.loads((folder / "COMPLETE").read_text())
    assert set(marker["files"]) == {
        *("architecture.json", "weights.safetensors", "optimizer.safetensors", "run_state.json"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000012"]


def test_the_state_of_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    state = RunState(
        identity=IDENTITY,
        step=7,
        elapsed_seconds=1.5,
        best_score=BestScore(name="dice", value=0.1 + 0.2, step=5),
        mlflow_run_id="abc",
        metrics={"validation/dice": 0.3},
    )
    state.write(tmp_path)
    assert read_run_state(tmp_path) == state
    assert json.loads((tmp_path / "run_state.json").read_text())["samples_consumed"] == 28


def test_a_state_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run_state.json").write_text('{"format_version": 99}')
    with pytest.raises(ValueError, match=r"format version 99.*Update the program"):
        read_run_state(tmp_path)


def test_a_damaged_state_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "run_state.json").write_text('{"format_version": 1')
    with pytest.raises(ValueError, match=r"run_state.json: not a run state"):
        read_run_state(tmp_path)


def test_the_newest_stay_and_the_best_stays_besides(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        write(tmp_path, step=step)
        if step == 2:
            mark_best(tmp_path, step=2)
    prune_checkpoints(tmp_path, keep=2)
    assert [path.name[-1] for path in step_folders(tmp_path)] == ["2", "4", "5"]


def test_a_checkpoint_that_is_not_whole_is_not_marked_as_the_best(tmp_path: Path) -> None:
    folder = write(tmp_path, step=1)
    (folder / "COMPLETE").unlink()
    mark_best(tmp_path, step=1)
    mark_best(tmp_path, step=2)
    assert not (tmp_path / "BEST").exists()


def test_a_torn_checkpoint_does_not_count_among_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step=step)
    (tmp_path / "step-00000003" / "COMPLETE").unlink()
    prune_checkpoints(tmp_path, keep=2)
    assert len(step_folders(tmp_path)) == 3
    assert checkpoint_to_resume(tmp_path) == tmp_path / "step-00000002"


def test_a_damaged_checkpoint_that_was_passed_over_does_not_count_among_the_newest(
    tmp_path: Path,
) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step=step)
    (tmp_path / "step-00000003" / "weights.safetensors").write_bytes(b"")
    assert checkpoint_to_resume(tmp_path) == tmp_path / "step-00000002"
    write(tmp_path, step=4)
    prune_checkpoints(tmp_path, keep=2)
    whole = [
        folder.name[-1] for folder in step_folders(tmp_path) if (folder / "COMPLETE").is_file()
    ]
    assert whole == ["2", "4"]
    write(tmp_path, step=3)  # the run may come by again
    verify_complete(tmp_path / "step-00000003")


def test_steps_are_ordered_by_number_beyond_eight_digits(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000):
        write(tmp_path, step=step)
    assert checkpoint_to_resume(tmp_path) == tmp_path / "step-100000000"


def test_a_run_whose_every_checkpoint_is_damaged_does_not_begin_anew(tmp_path: Path) -> None:
    folder = write(tmp_path, step=1)
    (folder / "weights.safetensors").write_bytes(b"")
    for _ in range(2):
        expected = r"No checkpoint of this run can be read.*run.fresh=true"
        with pytest.raises(ValueError, match=expected):
            checkpoint_to_resume(tmp_path)


def test_a_checkpoint_is_not_written_over_a_file_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="could not be written"):
        write(tmp_path / "missing", step=1)


def test_optimizer_state_comes_back_by_name_and_steps_on_alike() -> None:
    config = OptimizerConfig()
    first, second = small_module(), small_module()
    optimizers = [build_optimizer(module, config=config) for module in (first, second)]
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        first(inputs).square().sum().backward()
        optimizers[0].step()
        optimizers[0].zero_grad()
    second.load_state_dict(first.state_dict())
    state = {name: one.clone() for name, one in optimizer_state(optimizers[0], first).items()}
    assert set(state) == {
        f"{name}.{key}"
        for name, _ in first.named_parameters()
        for key in ("exp_avg", "exp_avg_sq", "step")
    }
    load_optimizer_state(optimizers[1], second, tensors=state)
    for module, optimizer in zip((first, second), optimizers, strict=True):
        module(inputs).square().sum().backward()
        optimizer.step()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_optimizer_state_of_other_parameters_is_refused() -> None:
    module = small_module()
    optimizer = build_optimizer(module, config=OptimizerConfig())
    with pytest.raises(ValueError, match=r"entries differ.*initialize_from"):
        load_optimizer_state(optimizer, module, tensors={"other.exp_avg": torch.zeros(1)})


def test_only_matrices_and_kernels_decay() -> None:
    optimizer = build_optimizer(small_module(), config=OptimizerConfig(weight_decay=0.5))
    decays = {
        group["weight_decay"]: [one.ndim for one in group["params"]]
        for group in optimizer.param_groups
    }
    assert decays == {0.5: [2, 2], 0.0: [1, 1, 1, 1]}


def test_a_module_with_nothing_to_train_is_refused() -> None:
    module = small_module().requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        build_optimizer(module, config=OptimizerConfig())


def test_the_average_follows_and_steps_aside_again() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = MovingAverage({"weight": torch.zeros(1, 1)}, decay=0.5)
    with torch.no_grad():
        module.weight.fill_(1.0)
    average.update({"weight": module.weight.detach()}, step=1_000)
    assert average.values["weight"].item() == 0.5
    with weights_replaced(module, average.values):
        assert module.weight.item() == 0.5
    assert module.weight.item() == 1.0


def test_an_average_of_other_parameters_is_refused() -> None:
    average = MovingAverage({"weight": torch.zeros(1)}, decay=0.5)
    with pytest.raises(ValueError, match="other parameters"):
        average.load({"other": torch.zeros(1)})
