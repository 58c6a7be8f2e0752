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


RANK_FILES = {"00000.json", "00001.json"}


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

    def resumed_from(self, number: int, *, job: str | None = None) -> int:
        """Return the step that a start of the job, or of the one after it, went on from."""
        logs = self.logs(number, job=job)
        said = "".join(path.read_text() for path in logs.glob("node-*.log"))
        (place,) = {line.split("/step-")[1] for line in said.splitlines() if "Resuming" in line}
        return int(place.rstrip("."))

    def logs(self, number: int, *, job: str | None = None) -> Path:
        """Return the folder of a start's logs."""
        return self._folder / "slurm" / "two" / "logs" / f"pretrain-{job or self._job}-{number}"

    def reasons_of_rank_0(self, number: int) -> list[str]:
        """Return why rank 0 ended a start, by the log of its node and by that of its own."""
        logs = self.logs(number)
        (own,) = logs.glob("node-0/*/attempt_0/0/stderr.log")
        found: list[str] = []
        for log in (logs / "node-0.log", own):
            (line,) = [one for one in log.read_text().splitlines() if "error: " in one]
            assert "rank 1 (" in line  # which one is named, with its machine and process
            found.append(line.partition("error: ")[2].partition(":")[0])
        return found

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
        "stages": ["pretrain", "evaluate"],
        "train": str(corpora / "train"),
        "test": str(corpora / "test"),
        "root": str(tmp_path / "runs"),
        "grace_seconds": 60,
        "pretrain": {"options": [*training, "run.max_steps=100000"], "nodes": 2, "minutes": 30},
        "evaluate": {
            "options": ["intervals.num_resamples=100", "num_gallery_cases=0", "batch_size=1"],
            "nodes": 2,
        },
    }
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    job = job_of(tmp_path, chain="two", stage="pretrain")
    behind = job_of(tmp_path, chain="two", stage="evaluate")
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
    # What comes behind it has waited through all this, and goes with it.
    waiting = cluster.job(behind)
    assert (waiting["JobState"], waiting["Reason"]) == ("PENDING", "Dependency")
    cluster.ask("scancel", job)
    cluster.wait_for_state(behind, "CANCELLED")

    # The same command again submits what has not ended well.
    last = reached["time limit"] + 3
    options["pretrain"]["options"] = [*training, f"run.max_steps={last}"]
    assert submit(options, folder=tmp_path, monkeypatch=monkeypatch) == 0
    end = job_of(tmp_path, chain="two", stage="pretrain")
    assert end != job
    cluster.wait_for_state(job_of(tmp_path, chain="two", stage="evaluate"), "COMPLETED")

    assert cluster.job(end)["JobState"] == "COMPLETED"
    assert (training_job.run / "report" / "report.html").is_file()
    assert training_job.mlflow_run() == mlflow_run
    assert [training_job.resumed_from(number) for number in (1, 2, 3)] == [
        reached["signal"],
        reached["requeue"],
        reached["crash"] // 10 * 10,
    ]
    assert training_job.resumed_from(0, job=end) == reached["time limit"]
    assert training_job.reasons_of_rank_0(2) == ["Another rank died or hangs"] * 2
    assert {path.name for path in (training_job.run / "ranks").iterdir()} == RANK_FILES
    words = [*training, f"data.train={corpora / 'train'}", f"run.root={tmp_path / 'runs'}"]
    undisturbed = train_alone([*words, f"run.max_steps={last}"], root=tmp_path / "runs")
    assert losses_of(training_job.run) == losses_of(undisturbed)


def train_alone(words: list[str], *, root: Path) -> Path:
    """Train on two processes of this machine, without Slurm, and return the run."""
    words = [*words, "run.name=undisturbed", "tracking.enabled=false"]
    code, output = run_launcher(words, num_processes=2)
    assert code == 0, output
    return root / "undisturbed"


@pytest.mark.services
def test_of_a_sweep_only_what_failed_is_submitted_again(
    cluster: SlurmCluster,
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The folders may have any name.
    tmp_path = tmp_path / "two words"
    tmp_path.mkdir()
    monkeypatch.chdir(tmp_path)
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
