"""`launchers/compare_models.py`: models trained alike, measured once, put into one table."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launchers.command_line import run_command
from launchers.compare_models import compare
from pipeline.comparison_config import ComparisonConfig
from tests.support.nano_run import (
    REPOSITORY,
    build_nano_corpora,
    end_group,
    launcher_environment,
    run_launcher,
)

OPTIONS = ",".join(
    (
        "run.threads=1",
        "run.log_every_steps=1",
        "data.global_batch_size=2",
        "data.micro_batch_size=2",
        "data.num_workers=0",
        "optimizer.warmup_steps=0",
        "num_error_clicks=0",
        "checkpoint.every_steps=1",
        "tracking.enabled=false",
    )
)
THREE = "models=[samus_tiny,autosamus_tiny,unet_tiny]"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nano_corpora(tmp_path_factory.mktemp("corpora"))


def words_for(corpora: Path, folder: Path, *words: str) -> list[str]:
    return [
        f"folder={folder}",
        f"train={corpora / 'train'}",
        f"test={corpora / 'test'}",
        f"options=[{OPTIONS}]",
        "intervals.num_resamples=50",
        *words,
    ]


def command(corpora: Path, folder: Path, *words: str) -> int:
    return run_command(ComparisonConfig, compare, arguments=words_for(corpora, folder, *words))


@pytest.mark.slow
def test_models_are_trained_alike_and_put_into_one_table(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    validation = f"validation={corpora / 'validation'}"
    assert command(corpora, tmp_path, THREE, "max_steps=2", validation, "reference=unet_tiny") == 0
    content = json.loads((tmp_path / "comparison.json").read_text())
    names = [one["name"] for one in content["models"]]
    assert names == ["samus_tiny", "autosamus_tiny", "unet_tiny"]
    protocols = [one["summary"]["protocol"] for one in content["models"]]
    assert protocols == ["published_click", "automatic", "automatic"]
    assert {one["facts"]["steps"] for one in content["models"]} == {"2"}
    assert {one["summary"]["tier"] for one in content["models"]} == {"held_out_subjects"}
    pairs = {(pair["first"], pair["second"]) for pair in content["pairs"]}
    assert pairs == {
        ("samus_tiny", "autosamus_tiny"),
        ("samus_tiny", "unet_tiny"),
        ("autosamus_tiny", "unet_tiny"),
    }
    table = (tmp_path / "comparison.md").read_text()
    assert "Dice minus unet_tiny" in table
    assert "samus_tiny" in capsys.readouterr().out


@pytest.mark.distributed
def test_two_ranks_train_what_one_process_compares(corpora: Path, tmp_path: Path) -> None:
    options = f"options=[{OPTIONS},data.micro_batch_size=1]"
    words = ("models=[samus_tiny,autosamus_tiny]", "max_steps=2", options)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    code, said = run_launcher(
        words_for(corpora, shared, *words),
        num_processes=2,
        launcher=REPOSITORY / "launchers" / "compare_models.py",
    )
    assert code == 0, said
    assert said.count("comparison.md") == 1
    assert command(corpora, alone, *words) == 0
    found, expected = (
        json.loads((folder / "comparison.json").read_text())["models"] for folder in (shared, alone)
    )
    assert [one["name"] for one in found] == ["samus_tiny", "autosamus_tiny"]
    for one, other in zip(found, expected, strict=True):
        mine, theirs = (each["summary"]["overall"] for each in (one, other))
        assert mine["num_rows"] == theirs["num_rows"]
        dice = [each["metrics"]["dice"]["mean"] for each in (mine, theirs)]
        assert dice[0] == pytest.approx(dice[1], abs=0.02)


@pytest.mark.slow
def test_the_same_command_repeats_nothing_and_a_further_model_joins(
    corpora: Path, tmp_path: Path
) -> None:
    assert command(corpora, tmp_path, "models=[samus_tiny]", "max_steps=1") == 0
    report = tmp_path / "reports" / "samus_tiny" / "records.parquet"
    metrics = tmp_path / "runs" / "samus_tiny" / "metrics.jsonl"
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in (report, metrics)]
    assert command(corpora, tmp_path, "models=[unet_tiny,samus_tiny]", "max_steps=1") == 0
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in (report, metrics)] == before
    models = json.loads((tmp_path / "comparison.json").read_text())["models"]
    assert [one["name"] for one in models] == ["unet_tiny", "samus_tiny"]


@pytest.mark.slow
def test_a_comparison_does_not_go_on_with_other_options(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(corpora, tmp_path, "models=[unet_tiny]", "max_steps=1") == 0
    changed = f"options=[{OPTIONS},optimizer.peak_learning_rate=0.5]"
    assert command(corpora, tmp_path, "models=[unet_tiny]", "max_steps=1", changed) == 2
    assert "begun with other values of optimizer" in capsys.readouterr().err


@pytest.mark.slow
def test_a_time_budget_becomes_steps_once(corpora: Path, tmp_path: Path) -> None:
    words = ("models=[unet_tiny]", "max_minutes=0.01")
    assert command(corpora, tmp_path, *words) == 0
    steps = json.loads((tmp_path / "steps.json").read_text())
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert content["models"][0]["facts"]["steps"] == str(steps["unet_tiny"])
    assert not (tmp_path / "timed" / "unet_tiny").exists()
    assert command(corpora, tmp_path, *words) == 0
    assert json.loads((tmp_path / "steps.json").read_text()) == steps


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on_to_the_same_end(corpora: Path, tmp_path: Path) -> None:
    words = ("models=[unet_tiny,samus_tiny]", "max_steps=30")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert command(corpora, whole, *words) == 0
    script = str(REPOSITORY / "launchers" / "compare_models.py")
    process = subprocess.Popen(
        [sys.executable, script, *words_for(corpora, broken, *words)],
        env=launcher_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 240
        while not (broken / "runs" / "samus_tiny" / "metrics.jsonl").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
        assert process.returncode == 128 + signal.SIGTERM
    finally:
        end_group(process)
    assert not (broken / "comparison.json").exists()
    assert command(corpora, broken, *words) == 0
    first, second = (
        json.loads((folder / "comparison.json").read_text())["models"] for folder in (whole, broken)
    )
    assert [one["summary"] for one in first] == [one["summary"] for one in second]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models=[samus_tiny]",), "The budget is max_steps=None"),
        (("models=[samus_tiny]", "max_steps=1", "max_minutes=1"), "give one of them"),
        (("models=[samus_tiny,samus_tiny]", "max_steps=1"), "different names"),
        (("models=[samus_tinny]", "max_steps=1"), "there is no preset 'samus_tinny'"),
        (("models=[unet_tiny]", "max_steps=1", "reference=samus_tiny"), "reference is samus_tiny"),
        (("models=[unet_tiny]", "max_steps=1", "protocol=guess"), "protocol=guess"),
        (("models=[unet_tiny]", "max_steps=1", "test=nowhere"), "nowhere"),
        (("models=[unet_tiny]", "max_steps=1", "options=[run.max_step=2]"), "max_step"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_training(
    words: tuple[str, ...],
    said: str,
    corpora: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(corpora, tmp_path / "comparison", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "comparison" / "runs").exists()
