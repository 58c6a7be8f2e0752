"""Throughput, memory and utilisation of SAMUS on one GPU.

    python -m benchmarks.gpu [PRESET] [IMAGES] [STEPS]

Utilisation is the model's arithmetic, multiplies and adds apart, per second over the device's peak;
nothing that a kernel computes twice counts. Written without a GPU at hand: see docs/benchmarks.md
for whether it has been run since.
"""

import re
import sys
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.doctor_config import DoctorConfig
from pipeline.memory_estimate import build_dry_step, random_batch

from .table import Measurement, print_measurements

PEAK_TERAFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0}
"""Dense bfloat16 peaks of the vendors' data sheets (SXM forms), by a word of the device's name."""

UTILISATION_AIM = 0.45


def measure(*, preset: str, num_images: int, num_steps: int) -> list[Measurement]:
    """Time training steps in bfloat16, and forward passes without gradients."""
    device = torch.device("cuda")
    config = DoctorConfig(
        preset=preset, micro_batch_size=num_images, objects_per_image=1, precision="bfloat16"
    )
    step = build_dry_step(config).to(device)
    batch = random_batch(step, num_images=num_images, num_objects=num_images).to(device)
    weights = [weight for weight in step.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)

    def train() -> None:
        step(batch).total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def infer() -> None:
        with torch.no_grad():
            step(batch)

    rows = []
    for name, job, aim in (("training step", train, UTILISATION_AIM), ("forward", infer, None)):
        with FlopCounterMode(display=False) as counter:
            job()
        torch.cuda.reset_peak_memory_stats()
        seconds = _seconds(job, num_steps=num_steps)
        flops = counter.get_total_flops() / seconds
        peak_memory = torch.cuda.max_memory_allocated() / 2**30
        rows += [
            Measurement(name=f"{name}, images", value=num_images / seconds, unit="1/s"),
            Measurement(name=f"{name}, arithmetic", value=flops / 1e12, unit="TFLOP/s"),
            Measurement(name=f"{name}, peak memory", value=peak_memory, unit="GiB"),
        ]
        peak = _peak_teraflops(torch.cuda.get_device_name())
        if peak is not None:
            utilisation = flops / 1e12 / peak
            rows.append(
                Measurement(name=f"{name}, utilisation", value=utilisation, unit="", aim=aim)
            )
    return rows


def _seconds(job: Callable[[], None], *, num_steps: int) -> float:
    for _ in range(3):
        job()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(num_steps):
        job()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / num_steps


def _peak_teraflops(name: str) -> float | None:
    words = re.split(r"[\s-]+", name)  # as in "NVIDIA A100-SXM4-80GB"
    return next((peak for word, peak in PEAK_TERAFLOPS.items() if word in words), None)


def main(words: list[str]) -> None:
    """Measure and print the table."""
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu needs a CUDA device; torch finds none here.")
    preset = words[0] if words else "samus_vit_b"
    num_images = int(words[1]) if len(words) > 1 else 16
    num_steps = int(words[2]) if len(words) > 2 else 20
    title = f"{preset} on {torch.cuda.get_device_name()}, {num_images} images, bfloat16"
    print_measurements(title, measure(preset=preset, num_images=num_images, num_steps=num_steps))


if __name__ == "__main__":
    main(sys.argv[1:])
