"""The doctor says what is there, what is wrong, and what to do."""

from pathlib import Path

import pytest

import pipeline.diagnosis
from launchers.doctor import doctor
from pipeline.diagnosis import (
    diagnose_data,
    diagnose_estimate,
    diagnose_machine,
    diagnose_tracking,
)
from pipeline.doctor_config import DoctorConfig
from pipeline.memory_estimate import build_dry_step, estimate_memory, kept_bytes, time_dry_step
from tests.support.corpora import write_toy_corpus
from tests.support.object_store import object_store


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


@pytest.mark.parametrize(("needed_bytes", "state"), [(700, "ok"), (900, "note"), (1001, "wrong")])
def test_an_estimate_is_held_against_the_memory_that_there_is(
    needed_bytes: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.diagnosis, "_memory_of_a_run", lambda: ("a GPU", 1000))
    found = diagnose_estimate(needed_bytes, what="a step")
    assert found.state == state
    assert ("micro_batch_size" in found.remedy) == (state != "ok")


def test_a_step_that_does_not_fit_is_wrong_and_is_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(pipeline.diagnosis, "_memory_of_a_run", lambda: ("free memory", 1_000_000))
    assert doctor(DoctorConfig(micro_batch_size=1, objects_per_image=1)) == 1
    shown = capsys.readouterr().out
    assert "free memory has 0.00 GiB" in shown
    assert "activation_checkpointing=true" in shown
    assert "left out, as it would not fit" in shown


@pytest.mark.services
def test_a_corpus_in_a_bucket_is_opened_and_one_that_does_not_answer_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store(tmp_path_factory.mktemp("store")) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        write_toy_corpus(store.url("doctor"), num_samples=3)
        found = diagnose_data(store.url("doctor"))
        assert (found.state, "3 samples" in found.found) == ("ok", True)
        assert diagnose_data(store.url("nothing")).state == "wrong"
    monkeypatch.setattr(pipeline.diagnosis, "STORE_TIMEOUT_SECONDS", 0.5)
    silent = diagnose_data(store.url("doctor"))
    assert silent.state == "wrong"
    assert store.url("doctor") in silent.found


@pytest.mark.slow
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
