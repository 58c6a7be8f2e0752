"""Parameters, arithmetic, memory and time of every full-size preset, as a table in Markdown.

    python -m benchmarks.models [REPEATS] [PRESET ...]

One image and one prompt in float32, on a GPU where there is one. A training step is forward, Dice
and cross-entropy, backward and AdamW, with the published weights of SAM frozen as the model freezes
them. Arithmetic counts multiplies and adds apart, and leaves out what a kernel computes beside the
model. Forward and step run in a process of their own each; on a CPU, memory is the process's peak,
Python and torch included. What does not fit into the memory that is free is shown as a dash.
"""

import dataclasses
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from model import PRESETS, ObjectiveConfig, Prompts, Segmenter, build_segmenter, freeze
from pipeline.memory_estimate import random_batch
from pipeline.train_step import TrainingStep
from pipeline.utilisation import flop_counter

from .table import machine_line

PHASES = ("forward", "step")
SHARE_OF_FREE_MEMORY = 0.9


@dataclass(frozen=True, kw_only=True)
class PhaseCost:
    """What a forward pass or a training step takes."""

    gigaflops: float
    seconds: float
    peak_gibibytes: float


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """One line of the table."""

    preset: str
    input_size: int
    num_parameters: int
    num_trainable: int
    phases: dict[str, PhaseCost | None]
    """By name; None where the memory did not suffice."""


def measure(presets: list[str], *, repeats: int) -> Iterator[ModelCost]:
    """Yield the costs of each preset."""
    for preset in tqdm(presets, unit="model", disable=None):
        with torch.device("meta"):
            segmenter = build_segmenter(preset)
        report = freeze(segmenter, has_base=True)
        yield ModelCost(
            preset=preset,
            input_size=segmenter.architecture.input_size,
            num_parameters=report.num_parameters,
            num_trainable=report.num_trainable,
            phases={phase: _in_own_process(preset, phase, repeats) for phase in PHASES},
        )


def _in_own_process(preset: str, phase: str, repeats: int) -> PhaseCost | None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(phase_cost, preset, phase, repeats).result()
        except BrokenProcessPool:  # killed for its memory
            return None


def phase_cost(preset: str, phase: str, repeats: int) -> PhaseCost | None:
    """Measure one phase of one preset; meant for a fresh process.

    Args:
        preset: Name of a model.
        phase: One of `PHASES`.
        repeats: Timed runs, of which the fastest counts; one before them warms up.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with _limited_memory(device):
            torch.manual_seed(0)
            segmenter = build_segmenter(preset).to(device)
            run = _forward(segmenter) if phase == "forward" else _training_step(segmenter)
            with flop_counter(segmenter) as counter:
                run()
            seconds = min(_seconds(run, device=device) for _ in range(repeats))
    except (MemoryError, RuntimeError) as error:
        if "memory" in str(error) or isinstance(error, MemoryError):
            return None
        raise
    return PhaseCost(
        gigaflops=counter.get_total_flops() / 1e9,
        seconds=seconds,
        peak_gibibytes=_peak_gibibytes(device),
    )


@contextmanager
def _limited_memory(device: torch.device) -> Iterator[None]:
    """Refuse what does not fit, before the system ends some other program for it."""
    if device.type == "cuda":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    free = int(SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available)
    limit = psutil.Process().memory_info().vms + free
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _forward(segmenter: Segmenter) -> Callable[[], None]:
    segmenter.eval()
    side, device = segmenter.architecture.input_size, next(segmenter.parameters()).device
    images = torch.rand(1, 1, side, side, device=device)
    prompts = None if segmenter.is_automatic else _one_prompt(segmenter).to(device)

    def run() -> None:
        with torch.no_grad():
            segmenter(images, prompts)

    return run


def _one_prompt(segmenter: Segmenter) -> Prompts:
    """Return a box in the middle, or a click for a model that takes none."""
    image, middle = torch.zeros(1, dtype=torch.long), segmenter.architecture.input_size / 2
    if "boxes" in segmenter.prompt_kinds:
        corners = torch.tensor([[middle / 2, middle / 2, middle, middle]])
        return Prompts(image_index=image, boxes=corners)
    return Prompts(
        image_index=image,
        points=torch.full((1, 1, 2), middle),
        point_labels=torch.ones(1, 1, dtype=torch.long),
    )


def _training_step(segmenter: Segmenter) -> Callable[[], None]:
    device = next(segmenter.parameters()).device
    freeze(segmenter, has_base=True)
    step = TrainingStep(
        segmenter, objective=ObjectiveConfig(), global_batch_size=1, num_ranks=1
    ).train()
    batch = random_batch(step, num_images=1, num_objects=1)
    batch = dataclasses.replace(batch, error_click_draws=torch.zeros(1, 0)).to(device)
    weights = [weight for weight in step.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        step(batch).total.backward()
        optimizer.step()

    return run


def _seconds(run: Callable[[], None], *, device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _peak_gibibytes(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def print_costs(costs: Iterator[ModelCost]) -> None:
    """Print the table, and the machine."""
    table = Table(box=box.MARKDOWN, caption=machine_line(), caption_justify="left")
    for title in ("preset", "input", "parameters", "trained on a base"):
        table.add_column(title, justify="left" if title == "preset" else "right")
    for phase in PHASES:
        for unit in ("GFLOP", "s", "GiB"):
            table.add_column(f"{phase}, {unit}", justify="right")
    for cost in costs:
        cells = [cell for phase in PHASES for cell in _cells(cost.phases[phase])]
        counts = (f"{cost.num_parameters:,}", f"{cost.num_trainable:,}")
        row = (cost.preset, str(cost.input_size), *counts, *cells)
        table.add_row(*row)
        sys.stderr.write(f"{' '.join(row)}\n")  # a table takes half an hour, and may be broken off
    Console(width=160).print(table)


def _cells(cost: PhaseCost | None) -> tuple[str, str, str]:
    if cost is None:
        return "-", "-", "-"
    return f"{cost.gigaflops:.1f}", f"{cost.seconds:.3g}", f"{cost.peak_gibibytes:.2f}"


def main(words: list[str]) -> None:
    """Measure and print the table."""
    repeats = int(words[0]) if words else 1
    full_size = [name for name in PRESETS if not name.endswith(("_tiny", "_small"))]
    print_costs(measure(words[1:] or full_size, repeats=repeats))


if __name__ == "__main__":
    main(sys.argv[1:])
