"""The quick start goes on where it stopped, and takes nothing half done for done."""

from pathlib import Path

from launchers.quickstart import is_done, plan_steps
from pipeline.run_status import RunStatus, State, write_status


def test_a_new_folder_has_nothing_done(tmp_path: Path) -> None:
    assert [step.title for step in plan_steps(tmp_path) if is_done(step)] == []


def test_an_interrupted_training_is_gone_on_with_and_a_finished_one_is_not(tmp_path: Path) -> None:
    training = next(step for step in plan_steps(tmp_path) if step.title == "pretraining")
    (training.proof.parent / "checkpoints").mkdir(parents=True)
    (training.proof.parent / "checkpoints" / "BEST").write_text("step-00000100\n")
    states: tuple[State, ...] = ("running", "interrupted", "failed", "finished")
    found = []
    for state in states:
        status = RunStatus(state=state, step=100, max_steps=300)
        write_status(training.proof.parent, status=status)
        found.append(is_done(training))
    assert found == [False, False, False, True]
