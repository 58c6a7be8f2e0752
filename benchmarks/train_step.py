"""Time of SAMUS's training step against the published formulation with the same weights.

    python -m benchmarks.train_step [PRESET] [REPEATS] [BATCH]

A step is encode, decode, Dice and cross-entropy, and backward, with the published weights frozen.
The optimizer is left out: it is the same for both. Peak memory is of the process, so each row is
measured in a process of its own. Nothing is shown if logits or gradients are not the same. By
default one step of one image is timed a row, which takes minutes on two cores.
"""

import multiprocessing
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from model import (
    MaskPrediction,
    ObjectiveConfig,
    Prompts,
    SamusSegmenter,
    freeze,
    object_losses,
)

from .agreement import refuse_disagreement
from .forward import build, clicks, fastest_seconds, setting_name
from .published_formulation import PublishedFormulation
from .table import Measurement, print_measurements

SETTINGS = {("float32", 1): 2.5, ("float32", 3): None, ("bfloat16", 1): 6.0}
"""Precision and masks an image, with the aim."""

SEVERAL_MASKS_AIM = 2.0
"""Masks a second with several of an image, against one of each."""


@dataclass(frozen=True, kw_only=True)
class TimedStep:
    """What one formulation took, and what it computed."""

    seconds: float
    peak_gibibytes: float
    logits: list[float]
    gradient_lengths: list[float]
    """Of every weight that trains."""


def step(
    segmenter: SamusSegmenter,
    predict: Callable[[Tensor, Prompts], Tensor],
    *,
    images: Tensor,
    prompts: Prompts,
) -> Tensor:
    """Do one forward and backward pass, and return the logits."""
    segmenter.zero_grad(set_to_none=True)
    logits = predict(images, prompts).float()
    targets = (images.index_select(0, prompts.image_index)[:, 0] > 0.5).float()
    terms = object_losses(
        MaskPrediction(low_resolution_logits=logits), targets=targets, config=ObjectiveConfig()
    )
    terms["total"].mean().backward()
    return logits.detach()


def timed_step(options: tuple[str, str, str, int, int, int]) -> TimedStep:
    """Measure one formulation; runs in a fresh process."""
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

    def run() -> Tensor:
        return step(segmenter, predict, images=images, prompts=prompts)

    logits = run().flatten().tolist()
    lengths = [w.grad.norm().item() for w in segmenter.parameters() if w.grad is not None]
    seconds = fastest_seconds({"step": run}, repeats=repeats)["step"]
    peak_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return TimedStep(
        seconds=seconds,
        peak_gibibytes=peak_kibibytes / 2**20,
        logits=logits,
        gradient_lengths=lengths,
    )


def measure(*, preset: str, repeats: int, batch_size: int) -> list[Measurement]:
    """Measure every row in a process of its own, one after the other.

    Raises:
        ValueError: Logits or gradients differ, so that a ratio would mean nothing.
    """
    rows, masks_per_second = [], {}
    context = multiprocessing.get_context("spawn")
    with tqdm(total=2 * len(SETTINGS), unit="row", disable=None) as bar:
        for (precision, masks), aim in SETTINGS.items():
            found = {}
            label = setting_name(precision, num_masks=masks)
            for formulation in ("published", "ours"):
                bar.set_description(f"{formulation}, {label}")
                options = (formulation, precision, preset, repeats, batch_size, masks)
                with context.Pool(1) as pool:
                    found[formulation] = pool.apply(timed_step, (options,))
                bar.update()
            for what in ("logits", "gradient_lengths"):
                values = {name: torch.tensor(getattr(one, what)) for name, one in found.items()}
                refuse_disagreement(f"{what}, {label}", **values, precision=precision)
            rows += _rows(found, label=label, aim=aim)
            masks_per_second[precision, masks] = batch_size * masks / found["ours"].seconds
    return rows + _mask_rows(masks_per_second)


def _rows(found: dict[str, TimedStep], *, label: str, aim: float | None) -> list[Measurement]:
    rows = []
    for quantity, attribute, unit, wanted in (
        ("step", "seconds", "s", aim),
        ("peak memory", "peak_gibibytes", "GiB", None if aim is None else 2.0),
    ):
        published, ours = f"published {quantity}, {label}", f"ours {quantity}, {label}"
        values = {name: getattr(timed, attribute) for name, timed in found.items()}
        rows += [
            Measurement(name=published, value=values["published"], unit=unit, lower_is_better=True),
            Measurement(
                name=ours,
                value=values["ours"],
                unit=unit,
                baseline=published,
                lower_is_better=True,
                aim=wanted,
            ),
        ]
    return rows


def _mask_rows(masks_per_second: Mapping[tuple[str, int], float]) -> list[Measurement]:
    """Return what several masks of an image gain where each is encoded once."""
    rows = []
    for (precision, masks), value in masks_per_second.items():
        if masks == 1:
            continue
        one, several = (
            f"ours, masks a second, {setting_name(precision, num_masks=number)}"
            for number in (1, masks)
        )
        rows += [
            Measurement(name=one, value=masks_per_second[precision, 1], unit="1/s"),
            Measurement(name=several, value=value, unit="1/s", baseline=one, aim=SEVERAL_MASKS_AIM),
        ]
    return rows


def main(words: list[str]) -> None:
    """Measure and print the table."""
    preset = words[0] if words else "samus_vit_b"
    repeats = int(words[1]) if len(words) > 1 else 1
    batch_size = int(words[2]) if len(words) > 2 else 1
    title = f"Training step of {preset}, batch of {batch_size}"
    print_measurements(title, measure(preset=preset, repeats=repeats, batch_size=batch_size))


if __name__ == "__main__":
    main(sys.argv[1:])
