"""Runs that go on, or begin, with something else than the run before had."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.pretraining import pretrain
from tests.support.nano_run import nano_config
from tests.support.small_sam import SAMUS_TINY, small_sam


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def save_base(path: Path, **options: Any) -> Path:
    torch.save(small_sam(SAMUS_TINY, **options).state_dict(), path)
    return path


def steps_saved(run: Path) -> list[int]:
    return sorted(int(path.name[-8:]) for path in (run / "checkpoints").glob("step-*"))


def validated_steps(run: Path) -> list[int]:
    from pipeline.run_folder.metric_log import MetricLog  # noqa: PLC0415

    rows = MetricLog(run / "metrics.jsonl").rows()
    return [row.step for row in rows if row.kind == "validation"]


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "expected"), [("1e-9", [1, 2, 3]), ("1000", [3])])
def test_a_run_saves_by_the_clock_as_well(
    nano_corpora: Path, root: Path, minutes: str, expected: list[int]
) -> None:
    words = (
        *("run.max_steps=3", "checkpoint.every_steps=100", "checkpoint.keep=10"),
        f"checkpoint.every_minutes={minutes}",
    )
    pretrain(nano_config(nano_corpora, root=root, words=words))
    assert steps_saved(root / "nano") == expected


@pytest.mark.slow
def test_validation_data_may_come_and_go_between_two_parts_of_a_run(
    nano_corpora: Path, root: Path
) -> None:
    validation = f"data.validation={nano_corpora / 'validation'}"
    pretrain(nano_config(nano_corpora, root=root, words=("run.max_steps=1", validation)))
    without = pretrain(nano_config(nano_corpora, root=root, words=("run.max_steps=2",)))
    assert validated_steps(root / "nano") == [1]
    assert without.best_score is not None
    assert (without.best_score.step, without.exit_code) == (1, 0)
    again = pretrain(nano_config(nano_corpora, root=root, words=("run.max_steps=3", validation)))
    assert validated_steps(root / "nano") == [1, 3]
    assert again.exit_code == 0


@pytest.mark.slow
def test_a_finished_run_that_gets_validation_data_is_scored_and_takes_no_step(
    nano_corpora: Path, root: Path
) -> None:
    pretrain(nano_config(nano_corpora, root=root, words=("run.max_steps=2",)))
    words = ("run.max_steps=2", f"data.validation={nano_corpora / 'validation'}")
    scored = pretrain(nano_config(nano_corpora, root=root, words=words))
    assert scored.best_score is not None
    assert validated_steps(root / "nano") == [2]
    assert (root / "nano" / "checkpoints" / "BEST").read_text() == "step-00000002\n"
    assert (
        "is finished: step 2" in pretrain(nano_config(nano_corpora, root=root, words=words)).message
    )


@pytest.mark.slow
def test_weights_that_were_trained_on_another_base_do_not_initialize_a_run(
    nano_corpora: Path, tmp_path: Path, root: Path
) -> None:
    """Also where both runs freeze the same parameters, which only the files tell apart."""
    first = save_base(tmp_path / "first.pth")
    other = tmp_path / "other.pth"
    torch.save({name: 2 * one for name, one in torch.load(first).items()}, other)
    model = ("model.preset=samus_tiny", "run.max_steps=1", "data.micro_batch_size=1")
    model = (*model, "data.global_batch_size=1")
    words = (*model, f"model.base={first}", "run.name=first")
    trained = pretrain(nano_config(nano_corpora, root=root, words=words)).folder.path
    begin = (*model, f"initialize_from={trained}")
    with pytest.raises(ValueError, match=r"parameters, such as .* differ from model.base"):
        pretrain(nano_config(nano_corpora, root=root, words=(*begin, f"model.base={other}")))
    same = (*begin, f"model.base={first}", "run.name=same")
    assert pretrain(nano_config(nano_corpora, root=root, words=same)).exit_code == 0
    whole = (*begin, "run.name=whole")
    assert pretrain(nano_config(nano_corpora, root=root, words=whole)).exit_code == 0


def test_a_run_is_not_resumed_on_another_base(
    nano_corpora: Path, tmp_path: Path, root: Path
) -> None:
    base = save_base(tmp_path / "sam.pth")
    words = ("model.preset=samus_tiny", "run.max_steps=1", f"model.base={base}")
    words = (*words, "data.micro_batch_size=1", "data.global_batch_size=1")
    pretrain(nano_config(nano_corpora, root=root, words=words))
    torch.save({name: 2 * one for name, one in torch.load(base).items()}, base)
    with pytest.raises(ValueError, match=r"model.base had the sha256"):
        pretrain(nano_config(nano_corpora, root=root, words=words))
