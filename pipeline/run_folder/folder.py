"""The folder of a run: its lock, its record of what runs in it, and where things lie.

RUN.ROOT/RUN.NAME/
    config.yaml        every option, resolved
    environment.json   versions, revision, devices, threads, corpora
    status.json        running, finished, interrupted or failed, and how far; for people
    metrics.jsonl      what was measured
    checkpoints/       step-00001000/ ..., BEST
    report/            pictures of validations
    ranks/             what each rank was last seen doing
    lock               held while a process writes to the run
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from pipeline.config import PretrainConfig, RunConfig
from pipeline.process_group import ProcessGroup

from .environment import describe_environment
from .metric_log import MetricLog

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Paths of a run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of `step-*` checkpoints."""
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        """Folder of validation pictures, one folder a step."""
        return self.path / "report" / "pictures"

    @property
    def metrics(self) -> MetricLog:
        """The run's `metrics.jsonl`."""
        return MetricLog(self.path / "metrics.jsonl")

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """What the run ran on."""
        return self.path / "environment.json"

    def write_config(self, config: PretrainConfig) -> list[str]:
        """Write the resolved options; return what differs from those of the run's last start."""
        resolved = _plain(config)
        before = self.read_flat_config() if self.config.exists() else None
        self.config.write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
        after = _flatten(resolved)
        if before is None:
            return []
        return [
            f"{name}: {before.get(name)} -> {after.get(name)}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]

    def read_flat_config(self) -> dict[str, Any]:
        """Return the written options by their dotted names."""
        return _flatten(yaml.safe_load(self.config.read_text(encoding="utf-8")))

    def write_environment(self, *, facts: Mapping[str, Any]) -> None:
        """Write versions, revision and machine, and what the run has found (`facts`)."""
        content = {**describe_environment(), **facts}
        self.environment.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def locked_run_folder(config: RunConfig, *, group: ProcessGroup) -> Iterator[RunFolder]:
    """Make or find the run's folder; rank 0 holds its lock for the length of a `with` (collective).

    Raises:
        RuntimeError: Another process writes to the run.
        OSError: The folder cannot be made or written.
    """
    path = Path(config.root) / config.name
    with contextlib.ExitStack() as stack:
        group.on_main(lambda: stack.enter_context(locked(path, fresh=config.fresh)))
        yield RunFolder(path=path)


@contextmanager
def locked(path: Path, *, fresh: bool = False) -> Iterator[None]:
    """Hold the lock of a run's folder, which is made where there is none, for a `with`.

    Raises:
        RuntimeError: Another process writes to the run.
        OSError: The folder cannot be made or written.
    """
    lock = _take_lock(path)
    try:
        if fresh and any(entry.name != "lock" for entry in path.iterdir()):
            aside = _free_name(path)
            path.rename(aside)
            _logger.info("run.fresh=true: the earlier run was moved to %s.", aside)
            lock.close()
            lock = _take_lock(path)
        _check_writable(path)
        yield
    finally:
        lock.close()


def _take_lock(path: Path) -> IO[str]:
    with _explaining_refusals(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise RuntimeError(
            f"{holder} is writing to the run {path}. Wait for it or stop it, or start another run "
            "with run.name=NAME."
        ) from error
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}")
    lock.flush()
    return lock


def _check_writable(path: Path) -> None:
    """Find out now, and not at the first checkpoint, that nothing can be written."""
    with _explaining_refusals(path):
        (path / "checkpoints").mkdir(exist_ok=True)
        for folder in (path, path / "checkpoints"):
            with tempfile.TemporaryFile(dir=folder):
                pass


@contextmanager
def _explaining_refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"The run folder {path} cannot be written: {error.strerror}. Make it writable, or "
            "choose another place with run.root=FOLDER."
        ) from error


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.previous-{number}")).exists():
        number += 1
    return aside


def _plain(config: PretrainConfig) -> dict[str, Any]:
    """Return the options as YAML can hold them: no tuples."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _flatten(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in options.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat
