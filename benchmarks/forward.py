"""Time of SAMUS's forward pass against the published formulation with the same weights.

    python -m benchmarks.forward [PRESET] [REPEATS]

Rows with three masks ask three prompts about one image, which the published code encodes anew for
each. The runs are interleaved, and the fastest of each is shown.
"""

import sys
import time
from collections.abc import Callable

import torch

from model import Prompts, SamusSegmenter, build_segmenter

from .published_formulation import PublishedFormulation
from .table import Measurement, print_measurements

AIMS = {torch.float32: 1.6, torch.bfloat16: 3.5}


def build(preset: str) -> SamusSegmenter:
    """Build the preset in its published form, with reproducible random weights."""
    torch.manual_seed(0)
    segmenter = build_segmenter(preset, has_detail_skip=False)
    assert isinstance(segmenter, SamusSegmenter)
    return segmenter


def clicks(segmenter: SamusSegmenter, *, image_index: list[int]) -> Prompts:
    """Return one click in the middle for every entry of `image_index`."""
    middle = segmenter.architecture.input_size / 2
    return Prompts(
        image_index=torch.tensor(image_index),
        points=torch.full((len(image_index), 1, 2), middle),
        point_labels=torch.ones(len(image_index), 1, dtype=torch.long),
    )


def fastest_seconds(runs: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Time every run `repeats` times in turns, after one that does not count."""
    best = dict.fromkeys(runs, float("inf"))
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(segmenter: SamusSegmenter, *, repeats: int) -> list[Measurement]:
    """Time both formulations in both precisions, for one and three masks of an image."""
    segmenter.eval()
    published = PublishedFormulation(segmenter)
    side = segmenter.architecture.input_size
    images = torch.rand(1, 1, side, side)
    rows = []
    for dtype, aim in AIMS.items():
        for num_masks in (1, 3):
            prompts = clicks(segmenter, image_index=[0] * num_masks)
            label = f"{str(dtype).removeprefix('torch.')}, {num_masks} mask(s)"
            with (
                torch.no_grad(),
                torch.autocast("cpu", dtype=dtype, enabled=dtype is torch.bfloat16),
            ):
                seconds = fastest_seconds(
                    {
                        f"published, {label}": lambda given=prompts: published(images, given),
                        f"ours, {label}": lambda given=prompts: segmenter(images, given),
                    },
                    repeats=repeats,
                )
            rows += as_rows(seconds, aim=aim if num_masks == 1 else None)
    return rows


def as_rows(seconds: dict[str, float], *, aim: float | None) -> list[Measurement]:
    """Return the baseline's row and ours."""
    (baseline, slow), (ours, fast) = seconds.items()
    return [
        Measurement(name=baseline, value=slow, unit="s", lower_is_better=True),
        Measurement(
            name=ours, value=fast, unit="s", baseline=baseline, lower_is_better=True, aim=aim
        ),
    ]


def main(words: list[str]) -> None:
    """Measure and print the table."""
    preset = words[0] if words else "samus_vit_b"
    repeats = int(words[1]) if len(words) > 1 else 5
    print_measurements(f"Forward of {preset}", measure(build(preset), repeats=repeats))


if __name__ == "__main__":
    main(sys.argv[1:])
