"""A run and a real MLflow server: what its page shows, outages, ends, and what comes afterwards."""

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.command_line import run_command
from launchers.sync_tracking import sync_tracking
from pipeline.pretraining import pretrain
from pipeline.run_folder.folder import locked
from pipeline.run_folder.status import read_status, write_status
from pipeline.stepper import Stepper
from pipeline.tracking.run_records import RunRecords
from pipeline.tracking.sync import sync_run
from pipeline.tracking.sync_config import TrackingSyncConfig
from tests.support.mlflow_server import MlflowServer, running_mlflow_server
from tests.support.nano_run import losses_of, nano_config, nano_words, run_launcher

# Of sqlalchemy, about MLflow's own tables.
pytestmark = [
    pytest.mark.services,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_mlflow_server(tmp_path_factory.mktemp("mlflow")) as one:
        yield one


def tracked_words(server: MlflowServer, corpora: Path, *, experiment: str) -> tuple[str, ...]:
    return (
        "tracking.enabled=true",
        f"tracking.uri={server.uri}",
        f"tracking.experiment={experiment}",
        f"data.validation={corpora / 'validation'}",
        "validation.num_pictures=2",
    )


def only_run(server: MlflowServer, *, experiment: str, parent: str | None = None) -> Any:
    """Return the run of an experiment, or the one that is shown below another run of it."""
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

    client = MlflowClient(tracking_uri=server.uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    below = "" if parent is None else f"tags.mlflow.parentRunId = '{parent}'"
    (run,) = client.search_runs([found.experiment_id], filter_string=below)
    return client.get_run(run.info.run_id)


def begin_parent(server: MlflowServer, *, experiment: str) -> str:
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

    client = MlflowClient(tracking_uri=server.uri)
    return client.create_run(client.create_experiment(experiment), run_name="parent").info.run_id


def steps_of(server: MlflowServer, run: Any, name: str) -> list[int]:
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

    history = MlflowClient(tracking_uri=server.uri).get_metric_history(run.info.run_id, name)
    return sorted(one.step for one in history)


def files_of_run(server: MlflowServer, run: Any, folder: str | None = None) -> set[str]:
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

    client = MlflowClient(tracking_uri=server.uri)
    found: set[str] = set()
    for one in client.list_artifacts(run.info.run_id, folder):
        found |= files_of_run(server, run, one.path) if one.is_dir else {one.path}
    return found


def test_an_outage_in_the_middle_is_caught_up_and_the_page_shows_the_whole_run(
    server: MlflowServer, nano_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("RETRY_AFTER_SECONDS", "RETRY_AFTER_TIMES"):
        monkeypatch.setattr(f"pipeline.tracking.tracker.{pause}", 0.0)
    write = RunRecords.write
    last_row_while_away: list[int] = []

    def write_with_outage(records: RunRecords, state: Any, **row: Any) -> None:
        if state.step == 2:
            server.kill()
        if state.step == 5:
            last_row_while_away.append(steps_of_file[-1])
            server.start()
        write(records, state, **row)
        steps_of_file.append(state.step)

    steps_of_file: list[int] = []
    monkeypatch.setattr(RunRecords, "write", write_with_outage)
    words = (
        *tracked_words(server, nano_corpora, experiment="outage"),
        "run.max_steps=6",
        "validation.every_steps=3",
    )
    try:
        result = pretrain(nano_config(nano_corpora, root=tmp_path, words=words))
    finally:
        server.start()  # for the tests after this one, if it was not started again
    assert (result.exit_code, last_row_while_away) == (0, [4])

    run = only_run(server, experiment="outage")
    assert run.info.status == "FINISHED"
    assert steps_of(server, run, "train/loss") == [1, 2, 3, 4, 5, 6]
    assert steps_of(server, run, "validation/dice") == [3, 6]
    for name in ("speed/images_per_second", "system/cpu_utilization_percentage"):
        assert steps_of(server, run, name) == [1, 2, 3, 4, 5, 6]
    assert run.data.params["model.preset"] == "samus_tiny"
    pictures = {
        f"pictures/step-{step:08d}/{path.name}"
        for step in (3, 6)
        for path in (result.folder.pictures / f"step-{step:08d}").iterdir()
    }
    assert len(pictures) == 4
    assert files_of_run(server, run) == {"config.yaml", "environment.json", *pictures}
    assert run.data.tags["checkpoint.latest"].endswith("nano/checkpoints/step-00000006")
    assert Path(run.data.tags["checkpoint.best"]).is_dir()
    corpora = {one.dataset.name: one.tags[0].value for one in run.inputs.dataset_inputs}
    assert corpora == {
        str(nano_corpora / "train"): "train",
        str(nano_corpora / "validation"): "validation",
    }


def test_one_run_goes_on_through_every_kind_of_end_and_says_each(
    server: MlflowServer, nano_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tracked_words(server, nano_corpora, experiment="ends")
    config = nano_config(nano_corpora, root=tmp_path, words=words)
    take = Stepper.take

    def stopped_at_2(stepper: Stepper, batches: Any, *, step: int) -> Any:
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(stepper, batches, step=step)

    def broken_at_3(stepper: Stepper, batches: Any, *, step: int) -> Any:
        if step == 2:
            raise ValueError("a sample that cannot be trained on")
        return take(stepper, batches, step=step)

    with monkeypatch.context() as fault:
        fault.setattr(Stepper, "take", stopped_at_2)
        assert pretrain(config).exit_code == 128 + signal.SIGTERM
    first = only_run(server, experiment="ends")
    assert first.info.status == "KILLED"

    with monkeypatch.context() as fault:
        fault.setattr(Stepper, "take", broken_at_3)
        changed = nano_config(nano_corpora, root=tmp_path, words=(*words, "data.num_workers=1"))
        with pytest.raises(ValueError, match="cannot be trained on"):
            pretrain(changed)
    assert only_run(server, experiment="ends").info.status == "FAILED"

    assert pretrain(config).exit_code == 0
    last = only_run(server, experiment="ends")
    assert (last.info.status, last.info.run_id) == ("FINISHED", first.info.run_id)
    assert last.data.params == first.data.params
    assert steps_of(server, last, "train/loss") == [1, 2, 3, 4]

    assert "is finished" in pretrain(config).message
    assert only_run(server, experiment="ends").info.status == "FINISHED"


def test_of_two_ranks_one_alone_keeps_the_run(
    server: MlflowServer, nano_corpora: Path, tmp_path: Path
) -> None:
    words = (
        *tracked_words(server, nano_corpora, experiment="ranks"),
        "data.micro_batch_size=2",
        "run.num_processes=2",
    )
    code, output = run_launcher(
        nano_words(nano_corpora, root=tmp_path, words=words), num_processes=2
    )
    assert code == 0, output
    run = only_run(server, experiment="ranks")
    assert steps_of(server, run, "train/loss") == [1, 2, 3, 4]


def test_a_run_without_mlflow_is_sent_afterwards_once_and_then_goes_on_there(
    server: MlflowServer, nano_corpora: Path, tmp_path: Path
) -> None:
    parent = begin_parent(server, experiment="later")
    words = (
        *tracked_words(server, nano_corpora, experiment="later"),
        f"tracking.parent_run_id={parent}",
        "validation.every_steps=2",
    )
    offline = nano_config(nano_corpora, root=tmp_path, words=(*words, "tracking.enabled=false"))
    assert pretrain(offline).exit_code == 0
    options = TrackingSyncConfig(run=str(tmp_path / "nano"))
    sync_run(options)
    first = only_run(server, experiment="later", parent=parent)
    command = [f"run={tmp_path / 'nano'}"]
    assert run_command(TrackingSyncConfig, sync_tracking, arguments=command) == 0
    again = only_run(server, experiment="later", parent=parent)
    assert (first.info.status, again.info.run_id) == ("FINISHED", first.info.run_id)
    for run in (first, again):
        assert steps_of(server, run, "train/loss") == sorted(losses_of(tmp_path / "nano"))
        assert steps_of(server, run, "validation/dice") == [2, 4]
        assert len(files_of_run(server, run)) == 2 + 2 * 2
        assert len(run.inputs.dataset_inputs) == 2
    assert first.data.params == again.data.params

    longer = nano_config(nano_corpora, root=tmp_path, words=(*words, "run.max_steps=6"))
    assert pretrain(longer).exit_code == 0
    longest = only_run(server, experiment="later", parent=parent)
    assert steps_of(server, longest, "train/loss") == [*range(1, 7)]

    status = read_status(tmp_path / "nano")
    assert status is not None
    write_status(tmp_path / "nano", status=dataclasses.replace(status, state="running"))
    sync_run(options)  # as if it had been killed and nobody took it up again
    assert only_run(server, experiment="later", parent=parent).info.status == "KILLED"

    with (
        locked(tmp_path / "nano"),
        pytest.raises(RuntimeError, match=r"is writing to the run .*nano\. Wait for it or stop it"),
    ):
        sync_run(options)
    # Nothing listens on port 9.
    away = TrackingSyncConfig(run=str(tmp_path / "nano"), uri="http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="did not take everything"):
        sync_run(away)
    with pytest.raises(FileNotFoundError, match="there is no run that has begun"):
        sync_run(TrackingSyncConfig(run=str(tmp_path)))
