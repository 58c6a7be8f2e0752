"""MLflow gets a copy, once, and can fail without stopping anything."""

import logging
import time
from pathlib import Path

import pytest

from pipeline.config import TrackingConfig
from pipeline.run_folder.metric_log import MetricRow
from pipeline.tracking.system_metrics import SystemMetrics
from pipeline.tracking.tracker import Tracker

# Of sqlalchemy, about MLflow's own tables.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def row(step: int) -> MetricRow:
    return MetricRow(step=step, kind="train", values={"train/loss": 1.0 / step}, time=time.time())


def test_an_outage_is_said_once_a_kind_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Nothing listens on port 9: the connection is refused at once.
    config = TrackingConfig(uri="http://127.0.0.1:9")
    tracker = Tracker(config, root=tmp_path, is_on=True)
    with caplog.at_level(logging.WARNING):
        tracker.start(name="run", run_id=None, parameters={})
        for step in range(1, 20):
            tracker.log_row(row(step))
        tracker.end("FINISHED")
    assert tracker.run_id is None
    assert len([one for one in caplog.records if "Training goes on" in one.message]) == 1


def test_other_ranks_and_disabled_tracking_touch_nothing(tmp_path: Path) -> None:
    for tracker in (
        Tracker(TrackingConfig(), root=tmp_path, is_on=False),
        Tracker(TrackingConfig(enabled=False), root=tmp_path, is_on=True),
    ):
        tracker.start(name="run", run_id=None, parameters={"run.name": "run"})
        tracker.log_row(row(1))
        tracker.end("FINISHED")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_its_mlflow_run_without_repeating_a_step(tmp_path: Path) -> None:
    first = Tracker(TrackingConfig(), root=tmp_path, is_on=True)
    first.start(name="run", run_id=None, parameters={f"option.{i}": i for i in range(150)})
    for step in (1, 2, 3, 4):
        first.log_row(row(step))
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"png")
    first.log_file(picture, folder="pictures")
    first.end("KILLED")

    second = Tracker(TrackingConfig(), root=tmp_path, is_on=True)
    second.start(name="run", run_id=first.run_id, parameters={"option.0": "changed"})
    for step in (3, 4, 5):  # resumed from the checkpoint of step 2
        second.log_row(row(step))
    second.end("FINISHED")
    assert second.run_id == first.run_id

    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert first.run_id is not None
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == 150
    assert run.data.params["option.0"] == "0"
    history = client.get_metric_history(first.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [
        (step, 1.0 / step) for step in range(1, 6)
    ]
    assert [one.path for one in client.list_artifacts(first.run_id, "pictures")] == [
        "pictures/picture.png"
    ]
    assert (tmp_path / "mlartifacts").is_dir()


@pytest.mark.slow
def test_an_outage_at_the_start_loses_neither_the_run_nor_rows_files_and_tags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Tracker(TrackingConfig(), root=tmp_path, is_on=True)
    first.start(name="run", run_id=None, parameters={"option": 1})
    first.log_row(row(1))
    first.end("KILLED")

    monkeypatch.setattr("pipeline.tracking.tracker.RETRY_AFTER_SECONDS", 0.0)
    second = Tracker(TrackingConfig(), root=tmp_path, is_on=True)
    options, gone = tmp_path / "config.yaml", tmp_path / "gone.yaml"
    options.write_text("a: 1\n")
    gone.write_text("b: 2\n")
    with monkeypatch.context() as outage:

        def refuse(*_: object) -> None:
            raise ConnectionError("the server is away")

        outage.setattr(Tracker, "_connect", refuse)
        second.start(name="run", run_id=first.run_id, parameters={}, rows=[row(1), row(2)])
        second.log_file(gone)
        second.log_file(options)
        second.log_tags({"content_hash": "abc"})
        second.log_row(row(3))
        assert second.run_id is None
    gone.unlink()
    second.log_row(row(4))
    second.end("FINISHED")
    assert second.run_id == first.run_id

    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds, and this test is slow

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert first.run_id is not None
    history = client.get_metric_history(first.run_id, "train/loss")
    assert [one.step for one in history] == [1, 2, 3, 4]
    run = client.get_run(first.run_id)
    assert (run.data.tags["content_hash"], run.info.status) == ("abc", "FINISHED")
    assert [one.path for one in client.list_artifacts(first.run_id)] == ["config.yaml"]
    (experiment,) = client.search_experiments(filter_string="name = 'pretraining'")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert len(client.search_runs([experiment.experiment_id])) == 1


@pytest.mark.slow
def test_a_run_that_mlflow_has_lost_is_begun_again_with_all_its_rows(tmp_path: Path) -> None:
    tracker = Tracker(TrackingConfig(), root=tmp_path, is_on=True)
    lost = "0123456789abcdef0123456789abcdef"
    tracker.start(name="run", run_id=lost, parameters={"option": 1}, rows=[row(1), row(2)])
    tracker.end("FINISHED")

    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds, and this test is slow

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert tracker.run_id not in {None, lost}
    assert client.get_run(str(tracker.run_id)).data.params == {"option": "1"}
    history = client.get_metric_history(str(tracker.run_id), "train/loss")
    assert [one.step for one in history] == [1, 2]


@pytest.mark.slow
def test_rows_that_could_not_be_sent_come_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(TrackingConfig(), root=tmp_path, is_on=True)
    tracker.start(name="run", run_id=None, parameters={})
    monkeypatch.setattr("pipeline.tracking.tracker.RETRY_AFTER_SECONDS", 0.0)
    client = tracker._client
    assert client is not None
    tracker.log_row(row(1))
    with monkeypatch.context() as outage:

        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError("the server is away")

        outage.setattr(client, "log_batch", refuse)
        tracker.log_row(row(2))
    # A store of files that refuses all of them hides neither rows nor the end.
    monkeypatch.setattr(client, "log_artifact", refuse)
    picture = tmp_path / "picture.png"
    picture.touch()
    tracker.log_file(picture)
    tracker.log_row(row(3))
    tracker.end("FINISHED")
    assert tracker.run_id is not None
    assert not tracker.has_sent_all
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    history = client.get_metric_history(tracker.run_id, "train/loss")
    assert [one.step for one in history] == [1, 2, 3]


def test_a_server_that_lets_its_callers_wait_takes_a_fiftieth_of_the_time_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(TrackingConfig(), root=tmp_path, is_on=True)
    now, waits = [1000.0], []

    def wait_for_the_time_out() -> None:
        waits.append(now[0])
        now[0] += 20.0
        raise TimeoutError

    monkeypatch.setattr("pipeline.tracking.tracker.time.monotonic", lambda: now[0])
    monkeypatch.setattr(tracker, "_connect", wait_for_the_time_out)
    tracker.start(name="run", run_id=None, parameters={})
    for step in range(1, 10_001):
        now[0] += 1.0
        tracker.log_row(row(step))
    assert 0.018 < 20 * len(waits) / (now[0] - 1000) < 0.022


def test_the_machine_s_load_is_measured_under_the_names_that_mlflow_has_for_it() -> None:
    metrics = SystemMetrics()
    values = metrics.take()
    assert 0 <= values["system/cpu_utilization_percentage"] <= 100
    assert 0 < values["system/system_memory_usage_percentage"] < 100
    assert values["system/disk_available_megabytes"] > 0
    assert values["system/network_receive_megabytes"] >= 0
    assert values.keys() == metrics.take().keys()
