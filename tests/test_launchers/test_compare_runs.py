"""`launchers/compare_runs.py`: evaluated runs side by side, from their rows."""

import json
from pathlib import Path

import pytest

from evaluation import CompareConfig, write_records
from launchers.command_line import run_command
from launchers.compare_runs import compare
from tests.support.evaluation_records import make_record


def write_run(folder: Path, *, model: str, dice: float, protocol: str = "box") -> Path:
    rows = [
        make_record(
            model=model,
            key=f"a__{at}",
            subject=f"s{at}",
            dice=dice + at / 50,
            protocol=protocol,
            tier="held_out_subjects",
        )
        for at in range(8)
    ]
    write_records(folder / "report" / "records.parquet", rows)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, dice in (("a", 0.5), ("b", 0.6), ("c", 0.61)):
        write_run(tmp_path / name, model=name, dice=dice)
    return tmp_path


def command(*words: str) -> int:
    return run_command(CompareConfig, compare, arguments=["intervals.num_resamples=200", *words])


def test_runs_are_compared_under_their_own_names(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A run folder, and a report folder: both hold the rows.
    folders = f"runs=[{runs / 'a'},{runs / 'b' / 'report'}]"
    assert command(folders, f"output={runs / 'out'}") == 0
    content = json.loads((runs / "out" / "comparison.json").read_text())
    assert [model["name"] for model in content["models"]] == ["a", "b"]
    (pair,) = content["pairs"]
    assert pair["mean"] == pytest.approx(-0.1)
    assert pair["p_holm"] < 0.05
    shown = capsys.readouterr().out
    assert "+0.100" in shown
    assert "comparison.html" in shown


def test_seeds_stand_under_one_name(runs: Path) -> None:
    named = f"runs={{recipe: [{runs / 'b'}, {runs / 'c'}], other: {runs / 'a'}}}"
    assert command(named, f"output={runs / 'out'}", "reference=other") == 0
    content = json.loads((runs / "out" / "comparison.json").read_text())
    recipe = content["models"][0]
    assert recipe["name"] == "recipe"
    assert recipe["mean_of_seeds"] == pytest.approx([0.67, 0.68])
    assert recipe["summary"]["overall"]["num_rows"] == 8
    assert "Dice minus other" in (runs / "out" / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs=nowhere"], "nowhere holds no records.parquet"),
        (["runs=[{a},{a}]"], "does not tell the runs apart"),
        (["runs=[]"], "expected folders"),
        (["runs=[{a}]", "reference=z"], "reference is z: it must be one of a"),
        (["runs=[{a}]", "protocols=[guess]"], "has rows under box only"),
    ],
)
def test_what_cannot_be_compared_gets_one_line(
    runs: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(a=runs / "a") for word in words]
    assert command(*given, f"output={runs / 'out'}") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
    assert not (runs / "out").exists()
