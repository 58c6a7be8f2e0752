"""Commands whose output finds no room, or lies in a folder of somebody else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluation.output_folder
from evaluation import CompareConfig, EvaluateConfig, ExportConfig, PredictConfig, write_records
from launchers.command_line import run_command
from launchers.compare_runs import compare
from launchers.convert_weights import convert
from launchers.evaluate_checkpoint import evaluate
from launchers.export_deployable import export
from launchers.predict import predict
from model import ConversionConfig
from tests.support.disc_deployable import write_disc_deployable
from tests.support.disk_corpus import disk_sample, write_disk_corpus
from tests.support.evaluation_records import make_record
from tests.support.small_checkpoint import write_checkpoint
from tests.support.unwritable import as_an_ordinary_user, full_disk

COMMANDS: dict[str, tuple[type, Callable[..., object], tuple[str, ...]]] = {
    "evaluate": (EvaluateConfig, evaluate, ("checkpoint=own", "data=corpus")),
    "compare": (CompareConfig, compare, ("runs={a: first, b: second}",)),
    "export": (ExportConfig, export, ("checkpoint=own", "data=corpus")),
    "predict": (PredictConfig, predict, ("model=disc", "image=scan.png", "points=[[3,4]]")),
    "convert": (ConversionConfig, convert, ("source=own",)),
    "convert to an encoder": (ConversionConfig, convert, ("source=own", "target=encoder")),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for path in write_checkpoint(folder / "own").iterdir():
        path.chmod(0o644)  # safetensors closes its files to others
    write_disk_corpus(folder / "corpus", samples=[disk_sample("0")])
    write_disc_deployable(folder / "disc")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder / "scan.png")
    for name in ("first", "second"):
        write_records(folder / name / "records.parquet", [make_record(model=name)])
    return folder


def refuse(name: str, *, output: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail; return its one line, without the log."""
    schema, job, words = COMMANDS[name]
    # Whatever a job raises beside what a command catches is a traceback, and fails the test.
    code = run_command(schema, job, arguments=[*words, f"output={output}"])  # pyright: ignore[reportArgumentType]
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_nothing_is_left(
    name: str,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(inputs)
    with full_disk(num_bytes=10_000):
        said = refuse(name, output=tmp_path / "out", capsys=capsys)
    assert str(tmp_path / "out") in said
    assert "Choose another folder" in said or "Make room" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_may_not_be_written_is_one_line(
    name: str,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(inputs)
    (tmp_path / "closed").mkdir(mode=0o555)
    with as_an_ordinary_user(tmp_path, inputs):
        said = refuse(name, output=tmp_path / "closed" / "out", capsys=capsys)
    assert str(tmp_path / "closed" / "out") in said
    assert "Permission denied" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "compare", "predict"])
def test_a_disk_that_fills_up_meanwhile_is_one_line(
    name: str,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(inputs)
    monkeypatch.setattr(evaluation.output_folder, "ROOM_BYTES", 0)
    with full_disk():
        said = refuse(name, output=tmp_path / "out", capsys=capsys)
    assert "There is no room on the disk: make some" in said
