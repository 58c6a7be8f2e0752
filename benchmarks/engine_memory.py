"""Memory of a rank under DDP and ZeRO: computed for any number of ranks, measured on two.

    python -m benchmarks.engine_memory [PRESET] [measure]

Computed is the training's own state, from the model's counts: weights, gradients, moments and the
engines' buffers. Activations are left out: an engine does not change them. With `measure`, two
processes on the CPU take two steps of one image under each engine, and the largest resident size of
a rank is shown, over that of a process that has only imported everything; activations are in it.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import torch
from rich.console import Console
from rich.table import Table

from model import build_segmenter, freeze

from .table import Measurement, machine_line, print_measurements

LAUNCHERS = Path(__file__).resolve().parent.parent / "launchers" / "accelerate"
ENGINES = {
    "DDP": "two_cpu_processes",
    "ZeRO-1": "two_cpu_processes_zero1",
    "ZeRO-2": "two_cpu_processes_zero2",
    "ZeRO-3": "two_cpu_processes_zero3",
}
GIBIBYTE = 2**30
FLOAT = 4
NUMBERS_OF_RANKS = (2, 8, 64)


def state_bytes(
    engine: str, *, num_weights: int, num_trainable: int, num_ranks: int, largest_bucket: int
) -> int:
    """Return what a rank keeps between steps, and the buffers its gradients go through.

    DDP reduces in buckets beside the gradients. ZeRO keeps a float32 master of the weights that a
    rank moves, beside the weights that all compute with. Stage 3 holds some layers whole for a
    moment besides, which is not counted.

    Args:
        engine: One of `ENGINES`.
        num_weights: Of the whole model.
        num_trainable: Those of them that are not frozen.
        num_ranks: They are parted over so many.
        largest_bucket: Gradients that DeepSpeed reduces at once.
    """
    share = -(-num_trainable // num_ranks)
    bucket = min(largest_bucket, num_trainable)
    floats = {
        "DDP": num_weights + 2 * num_trainable + 2 * num_trainable,
        "ZeRO-1": num_weights + num_trainable + bucket + 3 * share,
        "ZeRO-2": num_weights + share + bucket + 3 * share,
        "ZeRO-3": -(-num_weights // num_ranks) + share + bucket + 3 * share,
    }
    return FLOAT * floats[engine]


def computed_rows(preset: str) -> list[list[str]]:
    """Return what trains, the engine, and GiB of a rank by `NUMBERS_OF_RANKS`.

    For a model beside a frozen base, and for one that trains as a whole.
    """
    from pipeline.engines.deepspeed_engine import LARGEST_BUCKET  # noqa: PLC0415 -- takes seconds

    rows = []
    for has_base, what in ((True, "beside a frozen base"), (False, "everything")):
        num_weights, num_trainable = _counts(preset, has_base=has_base)
        for engine in ENGINES:
            sizes = (
                state_bytes(
                    engine,
                    num_weights=num_weights,
                    num_trainable=num_trainable,
                    num_ranks=num_ranks,
                    largest_bucket=LARGEST_BUCKET,
                )
                for num_ranks in NUMBERS_OF_RANKS
            )
            cells = [f"{size / GIBIBYTE:.2f}" for size in sizes]
            rows.append([f"{what} ({num_trainable / 1e6:.1f} M)", engine, *cells])
    return rows


def print_computed(preset: str) -> None:
    """Print what a rank keeps."""
    table = Table(title=f"{preset}: state of a rank in GiB, computed", caption=machine_line())
    for heading in ("what trains", "engine"):
        table.add_column(heading)
    for num_ranks in NUMBERS_OF_RANKS:
        table.add_column(f"{num_ranks} ranks", justify="right")
    for row in computed_rows(preset):
        table.add_row(*row)
    Console(width=120).print(table)


def measure(preset: str) -> tuple[list[Measurement], list[str]]:
    """Take steps under each engine in processes of its own.

    Returns:
        What those took that came to their end, and the names of the others.
    """
    rows, failed = [], []
    for engine, file in ENGINES.items():
        with tempfile.TemporaryDirectory() as folder:
            if not _launch(file, preset=preset, folder=Path(folder)):
                failed.append(engine)
                continue
            peaks = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
        rows.append(
            Measurement(
                name=f"{engine}, peak of a rank",
                value=max(peaks) / GIBIBYTE,
                unit="GiB",
                baseline=None if engine == "DDP" or "DDP" in failed else "DDP, peak of a rank",
                lower_is_better=True,
            )
        )
    return rows, failed


def measure_rank(preset: str, *, folder: Path) -> None:
    """Take two steps; runs in each process that a file of launchers/accelerate/ starts."""
    from pipeline.config import OptimizerConfig, RunConfig  # noqa: PLC0415 -- ranks alone need it
    from pipeline.doctor_config import DoctorConfig  # noqa: PLC0415
    from pipeline.memory_estimate import build_dry_step, random_batch  # noqa: PLC0415
    from pipeline.optimizer import build_optimizer  # noqa: PLC0415
    from pipeline.process_group import leave_process_group, start_process_group  # noqa: PLC0415

    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        importlib.import_module("pipeline.engines.deepspeed_engine")  # its size is no engine's

    group = start_process_group(RunConfig(name="memory", num_processes=2), precision="float32")
    empty = psutil.Process().memory_info().rss
    step = build_dry_step(DoctorConfig(preset=preset, micro_batch_size=1, objects_per_image=1))
    batch = random_batch(step, num_images=1, num_objects=1)
    optimizer = build_optimizer(step.segmenter, config=OptimizerConfig())
    engine = group.wrap(step.train(), optimizer, clip_gradient_norm=1.0)
    for _ in range(2):
        engine.accumulate(batch, is_last=True)
        engine.step(learning_rate=1e-4)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (folder / f"{group.rank}.json").write_text(json.dumps(peak - empty))
    leave_process_group()


def _counts(preset: str, *, has_base: bool) -> tuple[int, int]:
    with torch.device("meta"):
        segmenter = build_segmenter(preset)
    freeze(segmenter, has_base=has_base)
    weights = list(segmenter.parameters())
    trainable = sum(weight.numel() for weight in weights if weight.requires_grad)
    return sum(weight.numel() for weight in weights), trainable


def _launch(file: str, *, preset: str, folder: Path) -> bool:
    command = ["-m", "accelerate.commands.launch", "--config_file", str(LAUNCHERS / f"{file}.yaml")]
    command += ["--module", "benchmarks.engine_memory", preset, "rank", str(folder)]
    return subprocess.run([sys.executable, *command], check=False).returncode == 0


def main(words: list[str]) -> None:
    """Compute, or measure, and print the table."""
    preset = words[0] if words else "samus_vit_b"
    if words[1:2] == ["rank"]:
        measure_rank(preset, folder=Path(words[2]))
        return
    print_computed(preset)
    if words[1:2] == ["measure"]:
        title = f"{preset}, one image, two processes on the CPU: largest resident size, measured"
        rows, failed = measure(preset)
        print_measurements(title, rows)
        if failed:
            sys.exit(
                f"{', '.join(failed)}: failed, and why stands above. A rank that signal 9 killed "
                "found no memory left."
            )


if __name__ == "__main__":
    main(sys.argv[1:])
