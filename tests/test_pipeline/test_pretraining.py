"""A whole run, in this process: what it leaves behind, and how it goes on."""

import dataclasses
import json
import logging
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model import WEIGHTS, SamArchitecture, find_checkpoint, load_segmenter
from model.published_names import SAM_PAIRS, published_name
from pipeline import PretrainConfig
from pipeline.checkpoint import OPTIMIZER
from pipeline.pretraining import pretrain
from pipeline.run_folder.status import read_status, write_status
from pipeline.session import RunResult
from pipeline.stepper import NonFiniteLossError
from tests.support.nano_run import files_of, losses_of, nano_config
from tests.support.small_sam import small_sam


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def finished(nano_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Return a run of four steps that went through undisturbed, with validation and average."""
    words = (
        f"data.validation={nano_corpora / 'validation'}",
        "validation.every_steps=2",
        "validation.num_pictures=2",
        "optimizer.ema_decay=0.9",
    )
    root = tmp_path_factory.mktemp("finished")
    return pretrain(nano_config(nano_corpora, root=root, words=words))


def test_a_run_leaves_its_configuration_environment_metrics_and_checkpoints(
    finished: RunResult,
) -> None:
    path = finished.folder.path
    assert finished.exit_code == 0
    assert {entry.name for entry in path.iterdir()} == {
        *("config.yaml", "environment.json", "status.json", "metrics.jsonl"),
        *("checkpoints", "ranks", "report", "lock"),
    }
    environment = json.loads((path / "environment.json").read_text())
    assert environment["num_ranks"] == 1
    assert len(environment["corpora"]) == 2
    status = read_status(finished.folder.path)
    assert status is not None
    assert (status.state, status.step, status.max_steps) == ("finished", 4, 4)


def test_every_step_is_logged_with_its_rate_norm_and_speed(finished: RunResult) -> None:
    rows = [row for row in finished.folder.metrics.rows() if row.kind == "train"]
    assert [row.step for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row.values["train/loss"] == pytest.approx(
            row.values["train/dice"] + row.values["train/bce"], rel=1e-5
        )
        assert row.values["train/learning_rate"] == 1e-4
        assert row.values["train/gradient_norm"] > 0
        assert row.values["train/vanished_objects"] >= 0
        assert row.values["speed/images_per_second"] > 0
        assert 0 <= row.values["speed/share_waiting_for_data"] <= 1
        assert row.values["data/retries"] == row.values["data/broken_samples"] == 0


def test_validation_scores_each_object_and_draws_pictures(finished: RunResult) -> None:
    rows = [row for row in finished.folder.metrics.rows() if row.kind == "validation"]
    assert [row.step for row in rows] == [2, 4]
    assert all(0 <= row.values["validation/dice"] <= 1 for row in rows)
    assert len(list(finished.folder.pictures.glob("step-*/*.png"))) == 4


def test_the_best_checkpoint_is_read_back_by_the_model(finished: RunResult) -> None:
    best = (finished.folder.checkpoints / "BEST").read_text().strip()
    assert finished.best_score is not None
    assert best == f"step-{finished.best_score.step:08d}"
    segmenter = load_segmenter(finished.folder.path)
    assert not segmenter.training


def test_a_finished_run_started_again_says_so_and_takes_no_step(
    finished: RunResult, nano_corpora: Path
) -> None:
    before = (finished.folder.path / "metrics.jsonl").read_bytes()
    status = read_status(finished.folder.path)
    assert status is not None
    # As it lies there when the last process was killed just before its last word.
    write_status(finished.folder.path, status=dataclasses.replace(status, state="running"))
    again = pretrain(
        nano_config(
            nano_corpora, root=finished.folder.path.parent, words=("optimizer.ema_decay=0.9",)
        )
    )
    assert "is finished: step 4" in again.message
    assert again.exit_code == 0
    told = read_status(finished.folder.path)
    assert told is not None
    assert told.state == "finished"
    assert (finished.folder.path / "metrics.jsonl").read_bytes() == before


def test_going_on_equals_going_through_bit_for_bit(nano_corpora: Path, root: Path) -> None:
    average = "optimizer.ema_decay=0.9"
    cut = ("run.name=cut", average)
    pretrain(nano_config(nano_corpora, root=root, words=("run.name=whole", average)))
    pretrain(nano_config(nano_corpora, root=root, words=(*cut, "run.max_steps=2")))
    pretrain(nano_config(nano_corpora, root=root, words=cut))
    assert losses_of(root / "cut") == losses_of(root / "whole")
    last = "checkpoints/step-00000004"
    found = files_of(root / "cut" / last)
    assert "ema.safetensors" in found
    assert found == files_of(root / "whole" / last)


@pytest.mark.slow
def test_a_model_with_batch_norms_goes_on_bit_for_bit(nano_corpora: Path, root: Path) -> None:
    model = "model.preset=sam_unet_tiny"
    validation = (f"data.validation={nano_corpora / 'validation'}", "validation.every_steps=2")
    for name, part in (("whole", ()), ("cut", ("run.max_steps=2",)), ("cut", ())):
        words = (model, *validation, f"run.name={name}", *part)
        pretrain(nano_config(nano_corpora, root=root, words=words))
    assert losses_of(root / "cut") == losses_of(root / "whole")
    last = "checkpoints/step-00000004"
    found = files_of(root / "cut" / last)
    assert found == files_of(root / "whole" / last)
    assert b"running_mean" in found["weights.safetensors"]


@pytest.mark.slow
def test_accumulation_changes_on_resume_within_rounding(nano_corpora: Path, root: Path) -> None:
    pretrain(nano_config(nano_corpora, root=root, words=("run.name=whole",)))
    pretrain(nano_config(nano_corpora, root=root, words=("run.name=cut", "run.max_steps=2")))
    words = ("run.name=cut", "data.micro_batch_size=1")
    pretrain(nano_config(nano_corpora, root=root, words=words))
    whole, cut = losses_of(root / "whole"), losses_of(root / "cut")
    for step, values in whole.items():
        assert cut[step] == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.global_batch_size=8", "global_batch_size was 4, is 8"),
        ("run.seed=1", "seed was 0, is 1"),
        ("data.shards_per_block=2", "shards_per_block was 16, is 2"),
        ("data.mixing_temperature=2", "mixing_temperature was None, is 2.0"),
        ("data.max_per_sequence=1", "max_per_sequence was None, is 1"),
        ("model.overrides.depth=3", "the architecture .* was .* is"),
    ],
)
def test_another_run_is_not_resumed_and_the_message_says_what_differs(
    finished: RunResult, nano_corpora: Path, word: str, said: str
) -> None:
    root = finished.folder.path.parent
    with pytest.raises(ValueError, match=said):
        pretrain(nano_config(nano_corpora, root=root, words=(word, "run.max_steps=8")))


def test_another_weight_of_a_source_is_refused_on_resume(
    finished: RunResult, nano_corpora: Path
) -> None:
    words = (f"data.train=[{{url: {nano_corpora / 'train'}, weight: 2}}]",)
    with pytest.raises(ValueError, match=r"weight of data.train\[0\] was 1.0, is 2.0"):
        pretrain(nano_config(nano_corpora, root=finished.folder.path.parent, words=words))


def test_a_checkpoint_without_its_marker_is_passed_over_with_a_word(
    nano_corpora: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = nano_config(nano_corpora, root=root)
    first = pretrain(config)
    losses = losses_of(root / "nano")
    (first.folder.checkpoints / "step-00000004" / "COMPLETE").unlink()
    with caplog.at_level(logging.INFO):
        pretrain(config)
    assert "step-00000004 has no COMPLETE marker" in caplog.text
    assert "Resuming from" in caplog.text
    assert losses_of(root / "nano") == losses


def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(
    nano_corpora: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = nano_config(nano_corpora, root=root)
    last = pretrain(config).folder.checkpoints / "step-00000004"
    expected = files_of(last)
    damaged = bytearray(expected["weights.safetensors"])
    damaged[-1] ^= 1
    (last / "weights.safetensors").write_bytes(damaged)
    pretrain(config)
    assert "Passed over" in caplog.text
    assert files_of(last) == expected


def test_fresh_moves_the_earlier_run_aside(nano_corpora: Path, root: Path) -> None:
    pretrain(nano_config(nano_corpora, root=root, words=("run.max_steps=2",)))
    words = ("run.max_steps=2", "run.fresh=true", "run.seed=5")
    again = pretrain(nano_config(nano_corpora, root=root, words=words))
    assert again.step == 2
    assert losses_of(root / "nano.previous-1") != losses_of(root / "nano")


@pytest.mark.parametrize("origin", ["run", "checkpoint", "published file"])
def test_weights_initialize_another_run_with_a_fresh_optimizer(
    origin: str, finished: RunResult, nano_corpora: Path, root: Path
) -> None:
    trained = load_segmenter(finished.folder.path)
    source, expected = finished.folder.path, trained.state_dict()
    if origin == "checkpoint":
        source = find_checkpoint(source)
    elif origin == "published file":
        assert isinstance(trained.architecture, SamArchitecture)
        published = small_sam(trained.architecture).state_dict()
        source = root.parent / "sam.pth"
        torch.save(published, source)
        named = {name: published.get(published_name(name, pairs=SAM_PAIRS)) for name in expected}
        sizes = {name: value.shape for name, value in expected.items()}
        expected = {own: it for own, it in named.items() if it is not None}
        assert len(expected) == len(published)
        # Positions are resized.
        expected = {own: it for own, it in expected.items() if it.shape == sizes[own]}
        assert len(expected) > len(published) - 8
    # One step at so small a rate moves no weight.
    words = (f"initialize_from={source}", "run.max_steps=1", "optimizer.peak_learning_rate=1e-20")
    begun = pretrain(nano_config(nano_corpora, root=root, words=words))
    checkpoint = begun.folder.checkpoints / "step-00000001"
    first = load_file(checkpoint / WEIGHTS)
    for name, value in expected.items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-9)
    moments = load_file(checkpoint / OPTIMIZER)
    assert {value.item() for name, value in moments.items() if name.endswith(".step")} == {1}


@pytest.mark.slow
def test_a_best_checkpoint_whose_mark_a_kill_prevented_is_marked_by_the_next_save(
    nano_corpora: Path, root: Path
) -> None:
    words = (f"data.validation={nano_corpora / 'validation'}", "optimizer.peak_learning_rate=1e-9")
    two = nano_config(nano_corpora, root=root, words=(*words, "run.max_steps=2"))
    checkpoints = pretrain(two).folder.checkpoints
    (checkpoints / "BEST").unlink()
    four = pretrain(nano_config(nano_corpora, root=root, words=words))
    assert four.best_score is not None
    best = f"step-{four.best_score.step:08d}"
    assert (checkpoints / "BEST").read_text().strip() == best
    assert (checkpoints / best / "COMPLETE").is_file()


@pytest.mark.slow
def test_another_score_does_not_compete_with_the_best_of_the_one_before(
    nano_corpora: Path, root: Path
) -> None:
    words = (f"data.validation={nano_corpora / 'validation'}", "optimizer.peak_learning_rate=1e-9")
    two = nano_config(nano_corpora, root=root, words=(*words, "run.max_steps=2"))
    by_dice = pretrain(two).best_score
    four = nano_config(nano_corpora, root=root, words=(*words, "validation.score=iou"))
    by_iou = pretrain(four).best_score
    assert by_dice is not None
    assert by_iou is not None
    assert by_iou.value < by_dice.value
    assert (by_iou.name, by_iou.step) == ("iou", 4)


def test_a_signal_ends_the_run_after_its_step_saved_and_resumable(
    nano_corpora: Path, root: Path
) -> None:
    expected = pretrain(nano_config(nano_corpora, root=root, words=("run.name=whole",)))
    config = nano_config(nano_corpora, root=root)
    result = _pretrain_with_signal_at_first_row(config, root=root)
    assert result.exit_code == 128 + signal.SIGUSR2
    assert "The same command goes on from there" in result.message
    assert (result.folder.checkpoints / f"step-{result.step:08d}" / "COMPLETE").is_file()
    status = read_status(result.folder.path)
    assert status is not None
    assert status.state == "interrupted"
    assert pretrain(config).exit_code == 0
    assert losses_of(root / "nano") == losses_of(expected.folder.path)


def test_a_time_budget_ends_the_run_with_a_checkpoint(nano_corpora: Path, root: Path) -> None:
    config = nano_config(nano_corpora, root=root, words=("run.max_minutes=1e-6",))
    result = pretrain(config)
    assert (result.exit_code, result.step) == (0, 1)
    assert "is finished" in pretrain(config).message


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_samples(
    nano_corpora: Path, root: Path
) -> None:
    before = pretrain(nano_config(nano_corpora, root=root, words=("run.max_steps=2",)))
    good = files_of(before.folder.checkpoints / "step-00000002")
    words = ("objective.bce_weight=1e38", "objective.positive_weight=1e38", "run.max_steps=6")
    with pytest.raises(NonFiniteLossError, match=r"step 3 is not finite.*phantom__"):
        pretrain(nano_config(nano_corpora, root=root, words=words))
    assert files_of(before.folder.checkpoints / "step-00000002") == good
    assert [path.name for path in before.folder.checkpoints.glob("step-*")] == ["step-00000002"]
    status = read_status(before.folder.path)
    assert status is not None
    assert status.state == "failed"


def test_an_automatic_model_trains_and_is_scored_on_the_same_shards(
    nano_corpora: Path, root: Path
) -> None:
    words = (
        "model.preset=unet_tiny",
        "model.overrides.input_size=32",
        f"data.validation={nano_corpora / 'validation'}",
        "run.max_steps=2",
    )
    result = pretrain(nano_config(nano_corpora, root=root, words=words))
    rows = [row for row in result.folder.metrics.rows() if row.kind == "validation"]
    assert len(rows) == 1
    assert math.isfinite(losses_of(root / "nano")[2][0])


@pytest.mark.slow
def test_bfloat16_and_activation_checkpointing_train(nano_corpora: Path, root: Path) -> None:
    words = ("precision=bfloat16", "activation_checkpointing=true", "run.max_steps=2")
    result = pretrain(nano_config(nano_corpora, root=root, words=words))
    weights = load_segmenter(result.folder.path).state_dict()
    assert all(one.dtype == torch.float32 for one in weights.values() if one.is_floating_point())


def _pretrain_with_signal_at_first_row(config: PretrainConfig, *, root: Path) -> RunResult:
    """Run, and send this process SIGUSR2 as soon as the first row is written."""
    import threading  # noqa: PLC0415

    done = threading.Event()

    def send() -> None:
        while not (root / config.run.name / "metrics.jsonl").exists():
            if done.wait(0.001):
                return
        os.kill(os.getpid(), signal.SIGUSR2)

    watcher = threading.Thread(target=send)
    watcher.start()
    try:
        return pretrain(config)
    finally:
        done.set()
        watcher.join()
