"""AutoSAMUS is trained on a SAMUS: what counts, what moves, what is kept, and how it goes on."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from model import (
    MaskPrediction,
    ObjectiveConfig,
    Segmenter,
    build_segmenter,
    find_checkpoint,
    freeze,
    load_segmenter,
    write_complete_marker,
)
from pipeline import load_config
from pipeline.batches import TrainingBatch
from pipeline.category_losses import category_losses
from pipeline.flattened_base import FLATTENED_BASE, with_flattened_base
from pipeline.pretraining import pretrain
from pipeline.process_group import start_process_group
from pipeline.prompt_generator import on_parent, train_prompt_generator
from pipeline.prompt_generator_config import PromptGeneratorConfig
from pipeline.run_folder.folder import RunFolder
from pipeline.session import RunResult
from pipeline.train_step import TrainingStep
from tests.support.nano_run import (
    GENERATOR_LAUNCHER,
    files_of,
    losses_of,
    nano_config,
    nano_words,
    run_launcher,
)
from tests.support.small_checkpoint import write_checkpoint
from tests.support.training_batches import SIDE, cut_in_two, make_batch
from tests.support.unwritable import full_disk

PHANTOM_CATEGORIES = ("phantom_bone", "phantom_cyst", "phantom_nodule")


def generator_words(corpora: Path, *, root: Path, words: tuple[str, ...] = ()) -> list[str]:
    names = ("run.name=auto", "model.preset=autosamus_tiny", f"parent={root / 'nano'}")
    return nano_words(corpora, root=root, words=(*names, *words))


def generator_config(
    corpora: Path, *, root: Path, words: tuple[str, ...] = ()
) -> PromptGeneratorConfig:
    return load_config(PromptGeneratorConfig, generator_words(corpora, root=root, words=words))


@pytest.fixture(scope="module")
def parent(nano_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a SAMUS run of two steps."""
    root = tmp_path_factory.mktemp("parent")
    pretrain(nano_config(nano_corpora, root=root, words=("run.max_steps=2",)))
    return root / "nano"


@pytest.fixture(scope="module")
def trained(parent: Path, nano_corpora: Path) -> RunResult:
    """Return a run of the generator alone, of four steps, with validation."""
    words = (f"data.validation={nano_corpora / 'validation'}", "validation.every_steps=2")
    config = generator_config(nano_corpora, root=parent.parent, words=words)
    return train_prompt_generator(config)


def test_a_base_that_finds_no_room_to_be_copied_leaves_nothing(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base")
    options = ("model.preset=autosamus_tiny", "model.categories=[cyst]", f"model.base={base}")
    config = nano_config(tmp_path, root=tmp_path, words=options)
    folder = RunFolder(path=tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    group = start_process_group(config.run, precision="float32")
    message = f"{FLATTENED_BASE}: could not be written: there is no room on the disk"
    with full_disk(num_bytes=10_000), pytest.raises(OSError, match=message):
        with_flattened_base(config, folder=folder, group=group)
    assert [path.name for path in folder.path.iterdir()] == ["checkpoints"]
    with_flattened_base(config, folder=folder, group=group)
    assert (folder.path / FLATTENED_BASE).is_file()


def answers(*, is_judged: bool = True) -> MaskPrediction:
    generator = torch.Generator().manual_seed(0)
    return MaskPrediction(
        low_resolution_logits=torch.randn(4, 1, 8, 8, generator=generator).requires_grad_(),
        presence_logits=torch.zeros(4, requires_grad=True) if is_judged else None,
    )


def batch_of_two() -> TrainingBatch:
    """Return two images of two categories; the first image shows only the first of them."""
    batch = make_batch([1, 2])
    return dataclasses.replace(batch, category_index=torch.tensor([0, 0, 1]))


def test_absent_masks_cost_nothing_and_presence_counts_for_all_that_is_annotated() -> None:
    prediction = answers()
    losses, has_mask = category_losses(
        prediction, batch=batch_of_two(), objective=ObjectiveConfig(presence_weight=1.0)
    )
    assert has_mask.tolist() == [True, False, True, True]
    assert (losses["dice"] > 0).tolist() == [True, False, True, True]
    torch.testing.assert_close(losses["presence"], torch.full((4,), 0.5 * 0.6931472))
    losses["total"].sum().backward()
    presence, logits = prediction.presence_logits, prediction.low_resolution_logits
    assert presence is not None
    assert presence.grad is not None
    assert logits.grad is not None
    assert (presence.grad > 0).tolist() == [False, True, False, False]
    assert logits.grad[1].abs().max() == 0
    assert logits.grad[0].abs().max() > 0


def test_what_the_source_does_not_annotate_is_not_taken_for_absent() -> None:
    annotated = torch.tensor([[True, False], [False, False]])
    batch = dataclasses.replace(batch_of_two(), annotated=annotated)
    losses, has_mask = category_losses(answers(), batch=batch, objective=ObjectiveConfig())
    assert has_mask.tolist() == [True, False, False, False]
    assert (losses["presence"] > 0).tolist() == [True, False, False, False]
    assert (losses["total"] > 0).tolist() == [True, False, False, False]


def test_without_a_judgement_absent_masks_are_learned_to_be_empty() -> None:
    losses, has_mask = category_losses(
        answers(is_judged=False), batch=batch_of_two(), objective=ObjectiveConfig()
    )
    assert "presence" not in losses
    assert has_mask.all()
    assert (losses["dice"] > 0).all()


def test_a_loss_without_presence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"objective\.presence_weight must be above 0"):
        ObjectiveConfig(presence_weight=0.0)


@pytest.fixture
def step() -> TrainingStep:
    torch.manual_seed(0)
    segmenter = build_segmenter("autosamus_tiny", input_size=SIDE, categories=("a", "b"))
    freeze(segmenter, has_base=True)
    return TrainingStep(
        segmenter, objective=ObjectiveConfig(), global_batch_size=4, num_ranks=1
    ).train()


def gradients(step: TrainingStep, batches: list[TrainingBatch]) -> dict[str, torch.Tensor]:
    step.zero_grad(set_to_none=True)
    for batch in batches:
        step(batch).total.backward()
    named = step.named_parameters()
    return {name: one.grad.clone() for name, one in named if one.grad is not None}


def test_accumulation_has_the_gradient_of_the_whole_batch(step: TrainingStep) -> None:
    batch = make_batch([1, 3, 0, 2])
    whole, halves = gradients(step, [batch]), gradients(step, cut_in_two(batch))
    for name, gradient in whole.items():
        torch.testing.assert_close(halves[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objects", [[0, 0], [1, 0], [2, 3]])
def test_every_trainable_is_in_the_graph_of_every_batch(
    step: TrainingStep, objects: list[int]
) -> None:
    batch = make_batch(objects)
    trainable = {name for name, one in step.named_parameters() if one.requires_grad}
    assert set(gradients(step, [batch])) == trainable
    unknown = dataclasses.replace(batch, annotated=torch.zeros_like(batch.annotated))
    found = gradients(step, [unknown])
    assert set(found) == trainable
    assert all(float(gradient.abs().max()) == 0.0 for gradient in found.values())


def test_the_parent_stays_as_it_is_and_is_kept_once(trained: RunResult, parent: Path) -> None:
    path = trained.folder.path
    samus, autosamus = load_segmenter(parent), load_segmenter(path)
    assert autosamus.categories == PHANTOM_CATEGORIES
    ours = autosamus.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in samus.state_dict().items())
    checkpoint = find_checkpoint(path)
    assert json.loads((checkpoint / "base.json").read_text())["file_name"] == FLATTENED_BASE
    stored = load_stored(checkpoint)
    assert "prompt_generator.task_tokens" in stored
    assert not any(name.startswith("image_encoder.blocks") for name in stored)


def load_stored(checkpoint: Path) -> set[str]:
    from safetensors import safe_open  # noqa: PLC0415

    with safe_open(checkpoint / "weights.safetensors", framework="pt") as tensors:
        return set(tensors.keys())


def test_presence_is_trained_and_validated(trained: RunResult) -> None:
    rows = list(trained.folder.metrics.rows())
    train = next(row for row in rows if row.kind == "train")
    terms = ("dice", "bce", "presence")
    assert train.values["train/loss"] == pytest.approx(
        sum(train.values[f"train/{name}"] for name in terms), rel=1e-5
    )
    validation = next(row for row in rows if row.kind == "validation")
    assert 0 <= validation.values["validation/presence_accuracy"] <= 1


def test_the_parent_may_go_and_the_run_may_move(trained: RunResult, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(trained.folder.path, moved)
    checkpoint = find_checkpoint(moved)
    record = json.loads((checkpoint / "base.json").read_text())
    gone = record | {"hint": str(tmp_path / "gone.safetensors")}
    (checkpoint / "base.json").write_text(json.dumps(gone))
    (checkpoint / "COMPLETE").unlink()
    write_complete_marker(checkpoint)
    same_weights(load_segmenter(moved), load_segmenter(trained.folder.path))


def same_weights(first: Segmenter, second: Segmenter) -> None:
    theirs = second.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


@pytest.mark.slow
def test_going_on_equals_going_through_though_the_parent_went_on(
    trained: RunResult, parent: Path, nano_corpora: Path, tmp_path: Path
) -> None:
    shutil.copytree(parent, tmp_path / "nano")
    cut = generator_config(nano_corpora, root=tmp_path, words=("run.max_steps=2",))
    train_prompt_generator(cut)
    pretrain(nano_config(nano_corpora, root=tmp_path, words=("run.max_steps=3",)))
    train_prompt_generator(generator_config(nano_corpora, root=tmp_path))
    assert losses_of(tmp_path / "auto") == losses_of(trained.folder.path)
    last = "checkpoints/step-00000004"
    assert files_of(tmp_path / "auto" / last) == files_of(trained.folder.path / last)


def test_another_parent_is_refused_on_resume(
    trained: RunResult, parent: Path, nano_corpora: Path, tmp_path: Path
) -> None:
    shutil.copytree(parent, tmp_path / "another")
    words = (f"parent={tmp_path / 'another'}", "run.max_steps=6")
    with pytest.raises(ValueError, match="was begun with the weights of"):
        train_prompt_generator(generator_config(nano_corpora, root=parent.parent, words=words))


def test_the_second_stage_trains_the_adapters_on_the_first_one_flattened(
    trained: RunResult, nano_corpora: Path, tmp_path: Path
) -> None:
    first = trained.folder.path
    words = ("run.name=second", f"parent={first}", "train=generator_and_adapters")
    config = generator_config(nano_corpora, root=tmp_path, words=(*words, "run.max_steps=2"))
    result = train_prompt_generator(config)
    before, after = load_segmenter(first), load_segmenter(result.folder.path)
    assert after.categories == PHANTOM_CATEGORIES
    theirs = after.state_dict()
    moved = {n for n, value in before.state_dict().items() if not torch.equal(value, theirs[n])}
    assert any(name.startswith("image_encoder.branch.") for name in moved)
    assert any(name.startswith("prompt_generator.") for name in moved)
    assert not any(name.startswith("mask_decoder.") for name in moved)


def test_what_is_no_parent_is_refused(nano_corpora: Path, parent: Path, tmp_path: Path) -> None:
    def refused(*words: str, match: str) -> None:
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            on_parent(generator_config(nano_corpora, root=parent.parent, words=words))

    refused("model.base=sam.pth", match="leave model.base out")
    refused("model.preset=samus_tiny", match="has no prompt generator")
    refused("model.preset=autosamus_tyni", match="has no prompt generator")
    refused(f"parent={tmp_path}", match="neither a checkpoint")
    description = {"format_version": 1, "kind": "unet", "config": {}}
    (tmp_path / "architecture.json").write_text(json.dumps(description))
    refused(f"parent={tmp_path}", match="is a unet")


def test_the_run_of_the_parent_is_named_to_mlflow(
    nano_corpora: Path, parent: Path, tmp_path: Path
) -> None:
    shutil.copytree(parent, tmp_path / "nano")
    path = find_checkpoint(tmp_path / "nano") / "run_state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mlflow_run_id": "abc"}))
    config = on_parent(generator_config(nano_corpora, root=tmp_path))
    assert config.tracking.parent_run_id == "abc"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
def test_mlflow_shows_the_run_under_its_parent(nano_corpora: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415

    tracked = ("tracking.enabled=true", "run.max_steps=2")
    pretrain(nano_config(nano_corpora, root=tmp_path, words=tracked))
    config = generator_config(nano_corpora, root=tmp_path, words=tracked)
    train_prompt_generator(config)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("pretraining")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs["auto"].data.tags["mlflow.parentRunId"] == runs["nano"].info.run_id


@pytest.mark.distributed
def test_two_ranks_train_as_one_does(
    trained: RunResult, parent: Path, nano_corpora: Path, tmp_path: Path
) -> None:
    shutil.copytree(parent, tmp_path / "nano")
    words = ("run.num_processes=2", "data.micro_batch_size=2")
    code, output = run_launcher(
        generator_words(nano_corpora, root=tmp_path, words=words),
        num_processes=2,
        launcher=GENERATOR_LAUNCHER,
    )
    assert code == 0, output
    alone, shared = losses_of(trained.folder.path), losses_of(tmp_path / "auto")
    assert alone.keys() == shared.keys()
    for step_number, values in alone.items():
        assert shared[step_number] == pytest.approx(values, rel=1e-3)
