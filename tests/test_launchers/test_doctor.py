"""The doctor says what is there, what is wrong, and what to do."""

from pathlib import Path

import pytest

from launchers.doctor import doctor
from pipeline.diagnosis import diagnose_data, diagnose_machine, diagnose_tracking
from pipeline.doctor_config import DoctorConfig
from pipeline.memory_estimate import build_dry_step, estimate_memory, kept_bytes, time_dry_step


def test_a_sound_machine_gets_no_wrong_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = doctor(DoctorConfig(folder=str(tmp_path), micro_batch_size=1, objects_per_image=1))
    shown = capsys.readouterr().out
    assert code == 0
    assert "torch" in shown
    assert "dry step" in shown


def test_a_missing_corpus_and_a_missing_folder_are_wrong(tmp_path: Path) -> None:
    assert diagnose_data(str(tmp_path / "none")).state == "wrong"
    disk = {finding.topic: finding for finding in diagnose_machine(tmp_path / "none")}["disk"]
    assert disk.state == "wrong"
    assert "is no folder" in disk.found


def test_a_server_that_does_not_answer_is_wrong_and_a_database_to_be_made_is_not(
    tmp_path: Path,
) -> None:
    silent = diagnose_tracking("http://127.0.0.1:9")
    assert silent.state == "wrong"
    assert "mlflow server" in silent.remedy
    assert diagnose_tracking(f"sqlite:///{tmp_path}/new/mlflow.db").state == "ok"
    assert diagnose_tracking("databricks").state == "note"


def test_activations_extrapolated_from_small_batches_are_those_of_a_large_one() -> None:
    config = DoctorConfig(micro_batch_size=5, objects_per_image=3, has_base=False)
    step = build_dry_step(config)
    estimate = estimate_memory(step, config=config)
    counted = kept_bytes(step, num_images=5, num_objects=15)
    assert estimate.activations == pytest.approx(counted, rel=0.02)
    assert estimate.optimizer == 2 * estimate.gradients


def test_a_dry_step_leaves_no_gradient_behind() -> None:
    config = DoctorConfig(micro_batch_size=1, objects_per_image=1)
    step = build_dry_step(config)
    assert time_dry_step(step, config=config) > 0
    assert all(weight.grad is None for weight in step.parameters())


def test_a_batch_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match="micro_batch_size is 0"):
        DoctorConfig(micro_batch_size=0)
