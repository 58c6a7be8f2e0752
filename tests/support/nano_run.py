"""Options of a run that takes seconds: a handful of simulated images, a model of two blocks."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from pipeline import PretrainConfig, load_config
from shards import BuildConfig, PhantomConfig, build_corpora

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCHER = REPOSITORY / "launchers" / "pretrain.py"
GENERATOR_LAUNCHER = REPOSITORY / "launchers" / "train_prompt_generator.py"
ACCELERATE = REPOSITORY / "launchers" / "accelerate"

NANO_OPTIONS = (
    "run.name=nano",
    "run.threads=1",
    "run.max_steps=4",
    "run.log_every_steps=1",
    "data.global_batch_size=4",
    "data.micro_batch_size=4",
    "data.num_workers=0",
    "model.preset=samus_tiny",
    "model.overrides.input_size=32",
    "model.overrides.depth=2",
    "model.overrides.global_blocks=[1]",
    "model.overrides.width=24",
    "model.overrides.num_heads=2",
    "model.overrides.branch_channels=[8,12]",
    "optimizer.warmup_steps=1",
    "optimizer.schedule=constant",
    "checkpoint.every_steps=2",
    "validation.every_steps=null",
    "validation.num_pictures=0",
    "tracking.enabled=false",
)


def build_nano_corpora(folder: Path) -> Path:
    """Build `train/`, `validation/` and `test/` of simulated images, one of them empty."""
    build_corpora(
        BuildConfig(
            source="phantom",
            output=str(folder),
            max_samples_per_shard=3,
            phantom=PhantomConfig(
                num_subjects=5, frames_per_subject=3, min_size_pixels=48, max_size_pixels=64
            ),
        )
    )
    return folder


def nano_words(corpora: Path, *, root: Path, words: tuple[str, ...] = ()) -> list[str]:
    """Return the command line of a nano run; later words win, another model as it is."""
    keeps_model = not any(word.startswith("model.preset=") for word in words)
    options = [one for one in NANO_OPTIONS if keeps_model or not one.startswith("model.")]
    return [f"data.train={corpora / 'train'}", f"run.root={root}", *options, *words]


def nano_config(corpora: Path, *, root: Path, words: tuple[str, ...] = ()) -> PretrainConfig:
    """Return the options of a nano run; later words win."""
    return load_config(PretrainConfig, nano_words(corpora, root=root, words=words))


def losses_of(run: Path) -> dict[int, tuple[float, float]]:
    """Return loss and gradient norm by step, exactly as `metrics.jsonl` has them."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        row["step"]: (row["train/loss"], row["train/gradient_norm"])
        for row in rows
        if row["kind"] == "train"
    }


def files_of(checkpoint: Path) -> dict[str, bytes]:
    """Return the tensors of a checkpoint, byte for byte."""
    return {path.name: path.read_bytes() for path in checkpoint.glob("*.safetensors")}


def start_launcher(
    words: list[str], *, num_processes: int = 1, launcher: Path = LAUNCHER
) -> subprocess.Popen[str]:
    """Start a launcher that trains, alone or under `accelerate launch` on two gloo ranks."""
    command = [sys.executable, str(launcher)]
    if num_processes > 1:
        config = ACCELERATE / "two_cpu_processes.yaml"
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
        command += [str(launcher)]
    return subprocess.Popen(
        [*command, *words],
        env=launcher_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def launcher_environment() -> dict[str, str]:
    """Return the environment of a child: no GPU, one thread, nothing that a test has set."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
        "CUDA_VISIBLE_DEVICES": "",
    }


def run_launcher(
    words: list[str], *, num_processes: int = 1, launcher: Path = LAUNCHER
) -> tuple[int, str]:
    """Run a launcher that trains to its end; return exit code and everything it said."""
    process = start_launcher(words, num_processes=num_processes, launcher=launcher)
    try:
        output, _ = process.communicate(timeout=300)
    finally:
        end_group(process)
    return process.returncode, output


def wait_for_step(run: Path, *, step: int, process: subprocess.Popen[str]) -> None:
    """Return as soon as the run has logged a step."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"The run ended before step {step}: {process.communicate()[0]}")
        if (run / "metrics.jsonl").exists() and step in losses_of_whole_rows(run):
            return
        time.sleep(0.01)
    raise AssertionError(f"Step {step} did not come within 240 s.")


def losses_of_whole_rows(run: Path) -> dict[int, Any]:
    """Return `losses_of`, without a row that is just being written."""
    try:
        return losses_of(run)
    except json.JSONDecodeError:
        return {}


def wait_for(path: Path, *, process: subprocess.Popen[str]) -> None:
    """Wait until a process has made a file."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill the process and all that it started: a launcher's ranks are in sessions of their own."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    for member in (process, *family):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            member.kill()
    psutil.wait_procs(family, timeout=30)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
