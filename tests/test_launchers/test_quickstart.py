"""The quick start goes on where it stopped, and takes nothing half done for done."""

import dataclasses
from pathlib import Path

import pytest

from launchers.quickstart import Step, is_done, plan_steps, run_step


def script_step(folder: Path, title: str, code: str) -> Step:
    script = folder / f"{title}.py"
    script.write_text(f"from pathlib import Path\n{code}\n")
    return Step(title=title, words=[str(script)], proof=folder / f"{title}.made")


def test_a_new_folder_has_nothing_done(tmp_path: Path) -> None:
    assert [step.title for step in plan_steps(tmp_path) if is_done(step, folder=tmp_path)] == []


def test_a_step_that_failed_is_run_again_whatever_it_left(tmp_path: Path) -> None:
    proof = tmp_path / "export.made"
    failing = script_step(tmp_path, "export", f"Path({str(proof)!r}).touch(); raise SystemExit(3)")
    assert not run_step(failing, folder=tmp_path, later=[])
    assert proof.exists()
    assert not is_done(failing, folder=tmp_path)


def test_a_step_that_went_well_is_not_run_again_while_its_work_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    count = tmp_path / "count"
    proof = tmp_path / "train.made"
    code = f"Path({str(proof)!r}).touch(); open({str(count)!r}, 'a').write('x')"
    step = script_step(tmp_path, "train", code)
    for _ in range(2):
        assert run_step(step, folder=tmp_path, later=[])
    assert count.read_text() == "x"
    proof.unlink()
    assert run_step(step, folder=tmp_path, later=[])
    assert count.read_text() == "xx"


def test_what_comes_after_a_step_that_runs_is_out_of_date(tmp_path: Path) -> None:
    proofs = {title: tmp_path / f"{title}.made" for title in ("train", "evaluate")}
    steps = [
        script_step(tmp_path, title, f"Path({str(proof)!r}).touch()")
        for title, proof in proofs.items()
    ]
    train, evaluate = steps
    assert run_step(train, folder=tmp_path, later=[evaluate])
    assert run_step(evaluate, folder=tmp_path, later=[])
    again = dataclasses.replace(train, proof=tmp_path / "another")
    run_step(again, folder=tmp_path, later=[evaluate])
    assert not is_done(evaluate, folder=tmp_path)
