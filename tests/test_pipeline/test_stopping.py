"""A run that is asked to stop: which step it ends at, what it saves, and how it goes on."""

import os
import signal
from pathlib import Path

import pytest

from evaluation import SegmenterPredictor
from pipeline.pretraining import pretrain
from pipeline.run_folder.metric_log import MetricLog, MetricRow
from pipeline.stepper import Stepper
from pipeline.tracking.tracker import Tracker
from tests.support.nano_run import files_of, losses_of, nano_config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def send_signal_before(
    owner: type, name: str, *, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let this process signal itself when a method is called for the `call`-th time."""
    original, calls = getattr(owner, name), iter(range(1, 1000))

    def with_signal(*args: object, **keywords: object) -> object:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGUSR2)
        return original(*args, **keywords)

    monkeypatch.setattr(owner, name, with_signal)


def validations(run: Path) -> list[MetricRow]:
    return [row for row in MetricLog(run / "metrics.jsonl").rows() if row.kind == "validation"]


def test_a_signal_within_a_step_ends_the_run_after_that_very_step(
    nano_corpora: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_signal_before(Stepper, "take", call=3, monkeypatch=monkeypatch)
    # A validation is due at the same step; saving comes first, and scoring when the run goes on.
    words = (f"data.validation={nano_corpora / 'validation'}", "validation.every_steps=3")
    result = pretrain(nano_config(nano_corpora, root=root, words=words))
    assert (result.exit_code, result.step) == (128 + signal.SIGUSR2, 3)
    assert (result.folder.checkpoints / "step-00000003" / "COMPLETE").is_file()
    assert validations(root / "nano") == []


def test_mlflow_hears_of_the_last_step_once_it_is_saved(
    nano_corpora: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs would else take most of the time that a signal leaves."""
    saved_when_sent: dict[int, bool] = {}
    checkpoints = root / "nano" / "checkpoints"

    def send(tracker: Tracker) -> None:
        for row in tracker._pending:
            is_saved = (checkpoints / f"step-{row.step:08d}" / "COMPLETE").is_file()
            saved_when_sent.setdefault(row.step, is_saved)
        tracker._pending.clear()

    monkeypatch.setattr(Tracker, "_send", send)
    send_signal_before(Stepper, "take", call=3, monkeypatch=monkeypatch)
    words = ("tracking.enabled=true", "checkpoint.every_steps=10")
    assert pretrain(nano_config(nano_corpora, root=root, words=words)).step == 3
    assert saved_when_sent == {1: False, 2: False, 3: True}
    assert sorted(losses_of(root / "nano")) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "step"), [(2, 2), (5, 4)])
def test_a_validation_that_a_signal_breaks_off_is_made_up_for_when_the_run_goes_on(
    nano_corpora: Path,
    root: Path,
    call: int,
    step: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = (
        f"data.validation={nano_corpora / 'validation'}",
        "validation.every_steps=2",
        "validation.batch_size=1",
    )
    whole = pretrain(nano_config(nano_corpora, root=root, words=(*words, "run.name=whole")))
    config = nano_config(nano_corpora, root=root, words=words)
    with monkeypatch.context() as signalled:
        # Three images, so that the second batch is in the first validation, the fifth in the next.
        send_signal_before(SegmenterPredictor, "predict", call=call, monkeypatch=signalled)
        cut = pretrain(config)
    assert (cut.exit_code, cut.step) == (128 + signal.SIGUSR2, step)
    assert [row.step for row in validations(root / "nano")] == ([] if step == 2 else [2])
    assert (cut.folder.checkpoints / f"step-{step:08d}" / "COMPLETE").is_file()

    rest = pretrain(config)
    assert rest.exit_code == 0
    assert rest.best_score == whole.best_score
    assert losses_of(root / "nano") == losses_of(root / "whole")
    expected = [(row.step, row.values) for row in validations(root / "whole")]
    assert [(row.step, row.values) for row in validations(root / "nano")] == expected
    last = "checkpoints/step-00000004"
    assert files_of(root / "nano" / last) == files_of(root / "whole" / last)
    assert "is finished" in pretrain(config).message


def test_a_signal_in_the_last_batch_of_a_validation_keeps_its_score_and_takes_no_more_step(
    nano_corpora: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"data.validation={nano_corpora / 'validation'}", "validation.every_steps=2")
    send_signal_before(SegmenterPredictor, "predict", call=1, monkeypatch=monkeypatch)
    result = pretrain(nano_config(nano_corpora, root=root, words=words))
    assert (result.exit_code, result.step) == (128 + signal.SIGUSR2, 2)
    assert [row.step for row in validations(root / "nano")] == [2]
    assert result.best_score is not None
