"""A real Slurm on loopback for tests marked `services`: munged, slurmctld and two slurmd."""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

_START_SECONDS = 60.0

_CONFIGURATION = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket,cred_expire=15
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
SlurmdLogFile={folder}/slurmd-%n.log
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# The life of a credential is also how long a job waits that is queued again; without
# sched_interval it would then wait for up to a minute more.


@dataclass(frozen=True, kw_only=True)
class SlurmCluster:
    """Two nodes, n0 and n1, of one core each."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What lets sbatch, squeue and the rest find the cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *words: str) -> str:
        """Run one of Slurm's commands and return what it says."""
        answer = subprocess.run(
            words,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, f"{' '.join(words)}: {answer.stderr}"
        return answer.stdout

    def job(self, number: str) -> dict[str, str]:
        """Return what Slurm knows of a job, such as its JobState, Restarts and ExitCode."""
        pairs = self.ask("scontrol", "show", "job", "--oneliner", number).split()
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def wait_for(self, holds: Callable[[], bool], *, what: str, seconds: float = 300) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{self.logs()}"
            time.sleep(0.2)

    def wait_for_state(self, number: str, state: str) -> None:
        """Wait until a job is in a state, such as COMPLETED."""
        self.wait_for(lambda: self.job(number)["JobState"] == state, what=f"{number} {state}")

    def end_all_jobs(self) -> None:
        """Leave no process of a job behind: the daemons do not take them along."""
        self.ask("scancel", "--me")
        self.wait_for(lambda: not self.ask("squeue", "--noheader"), what="no job")

    def end_soon(self, number: str) -> None:
        """Shorten a job's time limit so that it is warned now, and ended within two minutes.

        Slurm looks at time limits every 30 seconds: it would not warn of one that is nearer.
        """
        hours, minutes, seconds = map(int, self.job(number)["RunTime"].split(":"))
        limit = 60 * hours + minutes + (2 if seconds > 20 else 1)
        self.ask("scontrol", "update", f"JobId={number}", f"TimeLimit={limit}")

    def logs(self) -> str:
        """Return the ends of the daemons' logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{one.name}: {one.read_text(errors='replace')[-1500:]}" for one in logs)


@contextlib.contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """Run a cluster in a temporary folder, or skip where Slurm is not installed."""
    path = f"{os.environ['PATH']}:/usr/sbin"  # where Debian has the daemons
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"no Slurm: {', '.join(missing)} missing, install slurm-wlm and munge.")
    # Not in pytest's own folder: the path of a socket has a hundred letters at most.
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as stack:
        cluster = SlurmCluster(folder=Path(name))
        cluster.folder.chmod(0o755)  # munged insists
        _write_configuration(cluster.folder)
        environment = os.environ | cluster.environment | {"PATH": path}
        for program, words in _daemons(cluster.folder).items():
            log = stack.enter_context((cluster.folder / f"{program}-output.log").open("wb"))
            daemon = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            stack.callback(_stop, daemon)
            if program == "munged":
                cluster.wait_for((cluster.folder / "munge.socket").exists, what=program)
        cluster.wait_for(lambda: _is_up(cluster), what="two idle nodes", seconds=_START_SECONDS)
        yield cluster


def _write_configuration(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    values = {"host": socket.gethostname().partition(".")[0], "user": getpass.getuser()}
    text = _CONFIGURATION.format(folder=folder, ports=ports, **values)
    (folder / "slurm.conf").write_text(text)
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))


def _daemons(folder: Path) -> dict[str, list[str]]:
    """Return the command of every daemon, in the order of their start."""
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
    munge = [f"--{option}={folder}/munge.{ending}" for option, ending in files.items()]
    configuration = ["-f", f"{folder}/slurm.conf"]
    return {
        "munged": ["munged", "--foreground", f"--log-file={folder}/munge.log", *munge],
        "slurmctld": ["slurmctld", "-D", "-c", *configuration],
        "slurmd-n0": ["slurmd", "-D", "-N", "n0", *configuration],
        "slurmd-n1": ["slurmd", "-D", "-N", "n1", *configuration],
    }


def _is_up(cluster: SlurmCluster) -> bool:
    try:
        return cluster.ask("sinfo", "--noheader", "--Node", "--format=%t").split() == ["idle"] * 2
    except AssertionError:  # the controller does not answer yet
        return False


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
