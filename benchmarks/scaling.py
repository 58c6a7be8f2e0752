"""Training on one and on two processes of one thread each, and where the time goes.

    python -m benchmarks.scaling [PRESET] [STEPS] [BATCH]

Weak scaling gives each of two processes the batch of the one, strong scaling half of it. Each is a
run as a user starts it, on simulated images, of twice STEPS steps, of which the second half counts.

Shares are of the time of a step, on rank 0: waiting for data; communication, which is what the
reduction of gradients takes beyond the backward pass and every other exchange, waiting for the
other rank included; and saving, if the run is saved as often as `checkpoint.every_steps` is by
default.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.config import CheckpointConfig
from shards import BuildConfig, PhantomConfig, build_corpora

from .table import Measurement, print_measurements

LARGEST_SHARE_PERCENT = 3.0
"""The aim for each of the three shares."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One run."""

    name: str
    num_processes: int
    global_batch_size: int


@dataclass(frozen=True, kw_only=True)
class TimedRun:
    """What a run took."""

    images_per_second: float
    shares_percent: dict[str, float]


def settings_of(batch_size: int) -> list[Setting]:
    """Return one process, and two of them twice."""
    return [
        Setting(name="1 process", num_processes=1, global_batch_size=batch_size),
        Setting(name="2 processes, weak", num_processes=2, global_batch_size=2 * batch_size),
        Setting(name="2 processes, strong", num_processes=2, global_batch_size=batch_size),
    ]


def measure(*, preset: str, num_steps: int, batch_size: int) -> list[Measurement]:
    """Run every setting and return the rows of the table.

    Raises:
        ValueError: Two processes cannot share the batch.
        RuntimeError: A run failed; the message ends with what it said.
    """
    if batch_size % 2:
        raise ValueError(f"BATCH is {batch_size}: two processes share it, so give an even number.")
    timed: dict[str, TimedRun] = {}
    with tempfile.TemporaryDirectory(prefix="scaling-benchmark-") as folder:
        corpora = _simulate(Path(folder) / "corpora")
        for setting in tqdm(settings_of(batch_size), unit="run", disable=None):
            words = _words(setting, preset=preset, num_steps=num_steps)
            words += [f"data.train={corpora / 'train'}", f"run.root={folder}"]
            timed[setting.name] = _run(setting, words=words, folder=Path(folder))
    return _rows(timed)


def _simulate(folder: Path) -> Path:
    phantom = PhantomConfig(num_subjects=24, frames_per_subject=4)
    build_corpora(BuildConfig(source="phantom", output=str(folder), phantom=phantom))
    return folder


def _words(setting: Setting, *, preset: str, num_steps: int) -> list[str]:
    return [
        f"run.name={setting.name}",
        f"run.max_steps={2 * num_steps}",
        f"run.log_every_steps={num_steps}",
        f"run.num_processes={setting.num_processes}",
        "run.threads=1",
        f"model.preset={preset}",
        f"data.global_batch_size={setting.global_batch_size}",
        f"data.micro_batch_size={setting.global_batch_size // setting.num_processes}",
        "data.num_workers=1",
        "optimizer.schedule=constant",
        "optimizer.warmup_steps=1",
        f"checkpoint.every_steps={num_steps}",
        "tracking.enabled=false",
    ]


def _run(setting: Setting, *, words: list[str], folder: Path) -> TimedRun:
    report = folder / "report.json"
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(setting.num_processes)]
    launcher += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    launcher = launcher if setting.num_processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "benchmarks.scaling_rank", str(report), *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{setting.name} failed: {done.stderr[-2000:]}")
    rows = [
        json.loads(line)
        for line in (folder / setting.name / "metrics.jsonl").read_text().splitlines()
    ]
    communication_seconds = json.loads(report.read_text())["communication_seconds_per_step"]
    return _timed(setting, rows=rows, communication_seconds=communication_seconds)


def _timed(
    setting: Setting, *, rows: list[dict[str, Any]], communication_seconds: float
) -> TimedRun:
    """Take the rates since the first row of training, which is the end of the first half."""
    train = [row for row in rows if row["kind"] == "train"][-1]
    saves = [row["checkpoint/seconds"] for row in rows if row["kind"] == "checkpoint"]
    rate = train["speed/images_per_second"]
    step_seconds = setting.global_batch_size / rate
    save_seconds = sum(saves) / len(saves)
    every_seconds = CheckpointConfig.every_steps * step_seconds
    shares = {
        "communication": communication_seconds / step_seconds,
        "waiting for data": train["speed/share_waiting_for_data"],
        "saving": save_seconds / (every_seconds + save_seconds),
    }
    return TimedRun(
        images_per_second=rate,
        shares_percent={name: 100 * share for name, share in shares.items()},
    )


def _rows(timed: dict[str, TimedRun]) -> list[Measurement]:
    first = next(iter(timed))
    rows = [
        Measurement(
            name=name,
            value=one.images_per_second,
            unit="images/s",
            baseline=None if name == first else first,
        )
        for name, one in timed.items()
    ]
    return rows + [
        Measurement(name=f"{name}: {what}", value=share, unit="%", aim=LARGEST_SHARE_PERCENT)
        for name, one in timed.items()
        for what, share in one.shares_percent.items()
    ]


def main(words: list[str]) -> None:
    """Measure and print the table."""
    preset = words[0] if words else "samus_small"
    num_steps = int(words[1]) if len(words) > 1 else 20
    batch_size = int(words[2]) if len(words) > 2 else 4
    title = f"Training of {preset}, one thread a process, batch of {batch_size}"
    rows = measure(preset=preset, num_steps=num_steps, batch_size=batch_size)
    print_measurements(title, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
