"""A short training of two ranks that something happens to, and what became of it."""

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from model import COMPLETE, verify_complete
from pipeline.checkpoint import step_folders
from tests.support.fault_injection import DAMAGES, NUM_STEPS, SIGNALS, Fault
from tests.support.nano_run import (
    REPOSITORY,
    files_of,
    launcher_environment,
    losses_of,
    nano_words,
)

SECONDS_TO_END = 300
SECONDS_TO_VANISH = 60

LOST_RANK = "error: Another rank died or hangs: "

_SAID = {
    "full disk": ("there is no room on the disk", "could not be written"),
    "read-only folder": ("could not be written",),
    "NaN": ("is not finite",),
    "bad sample": ("does not have the digest of its index",),
    "second run": ("is writing to the run",),
}
"""What the one error of a fault says; any of them."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One line of the table."""

    exit_code: int
    said: str
    """The one error, cut short; empty where none was due."""

    saved_step: int | None
    """Of the last good checkpoint when the same command was started again."""


class FaultBench:
    """Starts runs and waits for them; made by `open_bench`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, folder: Path, *, words: list[str], fault: Fault | None = None) -> None:
        """Start a run that leaves its traces in a folder."""
        folder.mkdir()
        request = {
            "folder": str(folder),
            "words": words,
            "fault": None if fault is None else dataclasses.asdict(fault),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def wait(self, folder: Path) -> tuple[int, str]:
        """Wait until launcher and ranks are gone; return the exit code and everything they said."""
        _wait_until((folder / "exit_code").exists, seconds=SECONDS_TO_END, what=str(folder))
        ranks = [int(path.read_text()) for path in folder.glob("rank *")]
        _wait_until(
            lambda: not any(_is_alive(one) for one in ranks),
            seconds=SECONDS_TO_VANISH,
            what=f"{folder}: ranks {ranks}",
        )
        return int((folder / "exit_code").read_text()), (folder / "log").read_text()

    def run(self, folder: Path, *, words: list[str], fault: Fault | None = None) -> tuple[int, str]:
        """Start a run and wait for it."""
        self.start(folder, words=words, fault=fault)
        return self.wait(folder)


@contextmanager
def open_bench() -> Iterator[FaultBench]:
    """Keep a process ready to fork launchers from, and let none of its offspring stay."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests" / "support" / "forked_launcher.py")],
        env=launcher_environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield FaultBench(process)
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        for member in (*family, process):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.communicate()


def run_words(corpora: Path, *, root: Path) -> list[str]:
    """Return the command line of the training that all faults happen to."""
    return nano_words(
        corpora,
        root=root,
        words=(
            f"run.max_steps={NUM_STEPS}",
            "run.num_processes=2",
            "data.micro_batch_size=2",
            f"data.validation={corpora / 'validation'}",
            "validation.every_steps=3",
            "validation.batch_size=1",
        ),
    )


def suffer(fault: Fault, *, folder: Path, corpora: Path, bench: FaultBench) -> Outcome:
    """Let a fault happen to a run, start the same command again, and check what is there.

    Args:
        fault: What happens.
        folder: A fresh one; the run is `folder/nano`.
        corpora: What is trained on.
        bench: Starts the runs.
    """
    folder.mkdir()
    own_corpora = folder / "corpora"
    shutil.copytree(corpora, own_corpora)
    words = run_words(own_corpora, root=folder)
    if fault.kind == "bad sample":
        _flip_byte(_training_shard(own_corpora, fault=fault), fraction=fault.fraction, spare=10_240)
    exit_code, output = _first_part(fault, folder=folder, words=words, bench=bench)
    said = _only_error(output, fault=fault)
    checkpoints = folder / "nano" / "checkpoints"
    checkpoints.chmod(0o755)
    whole = [one for one in step_folders(checkpoints) if (one / COMPLETE).is_file()]
    for checkpoint in whole:
        verify_complete(checkpoint)
    if fault.kind in DAMAGES:
        _damage(whole.pop(), fault=fault)
    if fault.kind == "bad sample":
        shutil.rmtree(own_corpora)
        shutil.copytree(corpora, own_corpora)
    last_code, last_output = bench.run(folder / "again", words=words)
    assert last_code == 0, last_output
    if fault.kind in DAMAGES:
        assert "Passed over." in last_output
        assert f"Resuming from {whole[-1]}" in last_output
    saved = int(whole[-1].name.removeprefix("step-")) if whole else None
    return Outcome(exit_code=exit_code, said=said, saved_step=saved)


def final_state(run: Path) -> tuple[dict[str, bytes], dict[int, tuple[float, float]]]:
    """Return the tensors of the last checkpoint, and every loss and gradient norm once."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    assert steps == list(range(1, NUM_STEPS + 1))
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [3, 6, NUM_STEPS]
    return files_of(run / "checkpoints" / f"step-{NUM_STEPS:08d}"), losses_of(run)


def _first_part(
    fault: Fault, *, folder: Path, words: list[str], bench: FaultBench
) -> tuple[int, str]:
    """Run until the fault ends it, and check that it did happen."""
    first = folder / "first"
    if fault.kind != "second run":
        exit_code, output = bench.run(first, words=words, fault=fault)
        assert fault.kind == "bad sample" or (first / "fired").exists(), output
        assert exit_code != 0 or fault.kind in SIGNALS, output
        return exit_code, output
    bench.start(first, words=words, fault=fault)
    status = folder / "nano" / "status.json"
    _wait_until(status.exists, seconds=SECONDS_TO_END, what=str(status))
    exit_code, output = bench.run(folder / "second", words=words)
    first_code, first_output = bench.wait(first)
    assert (first_code, exit_code != 0) == (0, True), first_output
    return exit_code, output


def _only_error(output: str, *, fault: Fault) -> str:
    """Return the error that the run ended with, and check that it is one and the right one.

    That a rank has lost another one comes on top, and no error where nothing was said before.
    """
    errors = [
        line
        for line in output.splitlines()
        if line.startswith("error: ") and not line.startswith(LOST_RANK)
    ]
    assert len(errors) <= 1, output
    assert f'File "{REPOSITORY / "pipeline"}' not in output, output  # no traceback of ours
    said = next(iter(errors), "")
    expected = _SAID.get(fault.kind)
    assert expected is None or any(words in said for words in expected), output
    return said


def _training_shard(corpora: Path, *, fault: Fault) -> Path:
    shards = sorted((corpora / "train").glob("*.tar"))
    return shards[fault.number % len(shards)]


def _damage(checkpoint: Path, *, fault: Fault) -> None:
    files = sorted(checkpoint.iterdir())
    path = files[fault.number % len(files)]
    if fault.kind == "flipped byte":
        _flip_byte(path, fraction=fault.fraction)
    else:
        content = path.read_bytes()
        path.write_bytes(content[: int(fault.fraction * len(content))])


def _flip_byte(path: Path, *, fraction: float, spare: int = 0) -> None:
    """Turn all bits of one byte, which is not among the last `spare` ones."""
    content = bytearray(path.read_bytes())
    content[int(fraction * (len(content) - spare))] ^= 0xFF
    path.write_bytes(content)


def _is_alive(process: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def _wait_until(holds: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: nothing within {seconds} s"
        time.sleep(0.05)
