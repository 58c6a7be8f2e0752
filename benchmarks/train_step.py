"""Time of SAMUS's training step against the published formulation with the same weights.

    python -m benchmarks.train_step [PRESET] [REPEATS] [BATCH]

A step is encode, decode, Dice and cross-entropy, and backward, with the published weights frozen.
The optimizer is left out: it is the same for both. Peak memory is of the process, so each row is
measured in a process of its own.
"""

import multiprocessing
import resource
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from model import (
    MaskPrediction,
    ObjectiveConfig,
    Prompts,
    SamusSegmenter,
    freeze,
    object_losses,
)

from .forward import build, clicks, fastest_seconds
from .published_formulation import PublishedFormulation
from .table import Measurement, print_measurements

AIMS = {"float32": 2.5, "bfloat16": 6.0}


def step(
    segmenter: SamusSegmenter,
    predict: Callable[[Tensor, Prompts], Tensor],
    *,
    images: Tensor,
    prompts: Prompts,
) -> None:
    """Do one forward and backward pass."""
    segmenter.zero_grad(set_to_none=True)
    logits = predict(images, prompts).float()
    targets = (images.index_select(0, prompts.image_index)[:, 0] > 0.5).float()
    terms = object_losses(
        MaskPrediction(low_resolution_logits=logits), targets=targets, config=ObjectiveConfig()
    )
    terms["total"].mean().backward()


def timed_step(options: tuple[str, str, str, int, int, int]) -> tuple[float, float]:
    """Return seconds and peak gibibytes of one formulation; runs in a fresh process."""
    formulation, precision, preset, repeats, batch_size, masks_per_image = options
    segmenter = build(preset).train()
    freeze(segmenter, has_base=True)
    side = segmenter.architecture.input_size
    images = torch.rand(batch_size, 1, side, side)
    image_index = [image for image in range(batch_size) for _ in range(masks_per_image)]
    prompts = clicks(segmenter, image_index=image_index)
    published = PublishedFormulation(segmenter)

    def predict(given: Tensor, questions: Prompts) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            if formulation == "published":
                return published(given, questions)
            return segmenter(given, questions).low_resolution_logits

    seconds = fastest_seconds(
        {"step": lambda: step(segmenter, predict, images=images, prompts=prompts)},
        repeats=repeats,
    )
    peak_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds["step"], peak_kibibytes / 2**20


def measure(*, preset: str, repeats: int, batch_size: int) -> list[Measurement]:
    """Measure every row in a process of its own, one after the other."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for precision, aim in AIMS.items():
        for masks in (1, 3):
            found = {}
            for formulation in ("published", "ours"):
                options = (formulation, precision, preset, repeats, batch_size, masks)
                with context.Pool(1) as pool:
                    found[formulation] = pool.apply(timed_step, (options,))
            label = f"{precision}, {masks} mask(s) an image"
            rows += _rows(found, label=label, aim=aim if masks == 1 else None)
    return rows


def _rows(
    found: dict[str, tuple[float, float]], *, label: str, aim: float | None
) -> list[Measurement]:
    rows = []
    for index, (quantity, unit) in enumerate((("step", "s"), ("peak memory", "GiB"))):
        baseline = f"published {quantity}, {label}"
        rows.append(
            Measurement(
                name=baseline, value=found["published"][index], unit=unit, lower_is_better=True
            )
        )
        rows.append(
            Measurement(
                name=f"ours {quantity}, {label}",
                value=found["ours"][index],
                unit=unit,
                baseline=baseline,
                lower_is_better=True,
                aim=(aim if index == 0 else 2.0) if aim is not None else None,
            )
        )
    return rows


def main(words: list[str]) -> None:
    """Measure and print the table."""
    preset = words[0] if words else "samus_vit_b"
    repeats = int(words[1]) if len(words) > 1 else 2
    batch_size = int(words[2]) if len(words) > 2 else 2
    title = f"Training step of {preset}, batch of {batch_size}"
    print_measurements(title, measure(preset=preset, repeats=repeats, batch_size=batch_size))


if __name__ == "__main__":
    main(sys.argv[1:])
