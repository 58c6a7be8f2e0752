"""Throughput, memory and utilisation of SAMUS on one GPU.

    python -m benchmarks.gpu [PRESET] [IMAGES] [STEPS]

Utilisation is the model's arithmetic, multiplies and adds apart, per second over the device's peak;
nothing that a kernel computes twice counts. Written without a GPU at hand: see docs/benchmarks.md
for whether it has been run since.
"""

import sys
import time
from collections.abc import Callable

import torch

from pipeline.doctor_config import DoctorConfig
from pipeline.memory_estimate import build_dry_step, random_batch
from pipeline.utilisation import flop_counter, known_peak

from .table import Measurement, print_measurements

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
        with flop_counter(step.segmenter) as counter:
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
        peak = known_peak(device, precision=config.precision)
        if peak is not None:
            utilisation = flops / peak
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
