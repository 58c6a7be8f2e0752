"""Jobs of `launchers/submit_slurm.py` in a real Slurm: interrupted, refused, submitted again."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.nano_run import (
    NANO_OPTIONS,
    build_nano_corpora,
    losses_of,
    losses_of_whole_rows,
    run_launcher,
)
from tests.support.slurm_cluster import SlurmCluster, slurm_cluster
from tests.support.slurm_submission import submit


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as running:
        yield running


@pytest.fixture
def cluster(
    running_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlurmCluster]:
    """Let this process and its jobs find the cluster, and no GPU."""
    for name, value in (running_cluster.environment | {"CUDA_VISIBLE_DEVICES": ""}).items():
        monkeypatch.setenv(name, value)
    yield running_cluster
    running_cluster.end_all_jobs()


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nano_corpora(tmp_path_factory.mktemp("corpora"))


def job_of(folder: Path, *, chain: str, stage: str, number: int = 0) -> str:
    jobs = json.loads((folder / "slurm" / chain / "jobs.json").read_text())
    return jobs[stage][str(number)]


class TwoNodeJob:
    """The pretraining that everything happens to."""

    def __init__(self, cluster: SlurmCluster, *, folder: Path, job: str) -> None:
        self.run = folder / "runs" / "two"
        self._cluster = cluster
        self._folder = folder
        self._job = job

    def last_step(self) -> int:
        rows = losses_of_whole_rows(self.run) if (self.run / "metrics.jsonl").exists() else {}
        return max(rows, default=0)

    def mlflow_run(self) -> str:
        return json.loads((self.run / "status.json").read_text())["mlflow_run_id"]

    def train_on(self) -> None:
        """Wait until the job has taken three more steps."""
        goal = self.last_step() + 3
        self._cluster.wait_for(lambda: self.last_step() >= goal, what=f"step {goal}")

    def wait_for_restart(self, number: int) -> int:
        """Wait until the job is queued again, and return the last step that was logged."""
        self._cluster.wait_for(
            lambda: self._cluster.job(self._job)["Restarts"] == str(number), what=f"start {number}"
        )
        self._cluster.wait_for_state(self._job, "PENDING")
        return self.last_step()

    def resumed_from(self, number: int) -> int:
        """Return the step that a start of the job went on from."""
        logs = self._folder / "slurm" / "two" / "logs" / f"pretrain-{self._job}-{number}"
        said = "".join(path.read_text() for path in logs.glob("node-*.log"))
        (place,) = {line.split("/step-")[1] for line in said.splitlines() if "Resuming" in line}
        return int(place.rstrip("."))

    def kill_node(self, number: int) -> None:
        """Kill the task of a node and all that it started, as when the machine crashes."""
        (task,) = [
            process
            for process in psutil.process_iter(["cmdline", "environ"])
            if "pipeline.slurm.node" in (process.info["cmdline"] or ())
            and process.info["environ"].get("SLURM_JOB_ID") == self._job
            and process.info["environ"].get("SLURM_NODEID") == str(number)
        ]
        for process in (task, *task.children(recursive=True)):
            process.kill()


@pytest.mark.services
def test_whatever_interrupts_a_two_node_job_it_goes_on_as_the_same_run(
    cluster: SlurmCluster, corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = (
        *NANO_OPTIONS,
        "run.num_processes=2",
        "data.micro_batch_size=2",
        "checkpoint.every_steps=10",
        "tracking.enabled=true",
    )
    options = {
        "name": "two",
        "stages": ["pretrain"],
        "train": str(corpora / "train"),
        "root": str(tmp_path / "runs"),
        "grace_seconds": 60,
        "pretrain": {"options": [*training, "run.max_steps=100000"], "nodes": 2, "minutes": 30},
    }
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    job = job_of(tmp_path, chain="two", stage="pretrain")
    training_job = TwoNodeJob(cluster, folder=tmp_path, job=job)
    reached: dict[str, int] = {}

    training_job.train_on()
    mlflow_run = training_job.mlflow_run()
    cluster.ask("scancel", "--signal=USR2", job)
    reached["signal"] = training_job.wait_for_restart(1)

    training_job.train_on()
    cluster.ask("scontrol", "requeue", job)
    reached["requeue"] = training_job.wait_for_restart(2)

    training_job.train_on()
    training_job.kill_node(1)
    reached["crash"] = training_job.wait_for_restart(3)

    training_job.train_on()
    cluster.end_soon(job)
    reached["time limit"] = training_job.wait_for_restart(4)
    cluster.ask("scancel", job)

    # The same command again submits what has not ended well.
    last = reached["time limit"] + 3
    options["pretrain"]["options"] = [*training, f"run.max_steps={last}"]
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    end = job_of(tmp_path, chain="two", stage="pretrain")
    assert end != job
    cluster.wait_for_state(end, "COMPLETED")

    assert training_job.mlflow_run() == mlflow_run
    assert training_job.resumed_from(1) == reached["signal"]
    assert training_job.resumed_from(2) == reached["requeue"]
    assert training_job.resumed_from(3) == reached["crash"] // 10 * 10
    words = [
        *training,
        f"data.train={corpora / 'train'}",
        f"run.root={tmp_path / 'runs'}",
        "run.name=undisturbed",
        "tracking.enabled=false",
        f"run.max_steps={last}",
    ]
    code, output = run_launcher(words, num_processes=2)
    assert code == 0, output
    assert losses_of(training_job.run) == losses_of(tmp_path / "runs" / "undisturbed")


@pytest.mark.services
def test_of_a_sweep_only_what_failed_is_submitted_again(
    cluster: SlurmCluster,
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = {
        "name": "swept",
        "stages": ["pretrain", "evaluate"],
        "train": str(corpora / "train"),
        "test": str(corpora / "test"),
        "root": str(tmp_path / "runs"),
        "pretrain": {"options": list(NANO_OPTIONS)},
        "evaluate": {"options": ["intervals.num_resamples=100", "num_gallery_cases=0"]},
        # One machine has one process, so that the second of the two is refused when it starts.
        "sweep": [["optimizer.peak_learning_rate=1e-3"], ["run.num_processes=2"]],
    }
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    trained, refused = (
        job_of(tmp_path, chain="swept", stage="pretrain", number=one) for one in (0, 1)
    )
    measured, cancelled = (
        job_of(tmp_path, chain="swept", stage="evaluate", number=one) for one in (0, 1)
    )
    cluster.wait_for_state(measured, "COMPLETED")
    cluster.wait_for_state(cancelled, "CANCELLED")
    assert cluster.job(trained)["JobState"] == "COMPLETED"
    failed = cluster.job(refused)
    assert (failed["JobState"], failed["ExitCode"], failed["Restarts"]) == ("FAILED", "78:0", "0")
    assert (tmp_path / "runs" / "swept-0" / "report" / "report.html").is_file()

    options["sweep"][1] = ["optimizer.peak_learning_rate=2e-3"]
    capsys.readouterr()
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    first, second = (
        job_of(tmp_path, chain="swept", stage=stage, number=1) for stage in ("pretrain", "evaluate")
    )
    assert f"pretrain: submitted as {first.removesuffix('_1')} of swept-1\n" in said
    assert f"of swept-1, after {first.removesuffix('_1')}\n" in said
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    assert f"pretrain: on its way as {first}" in capsys.readouterr().out
    cluster.wait_for_state(second, "COMPLETED")
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    assert "evaluate: done" in capsys.readouterr().out
