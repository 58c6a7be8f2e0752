"""Time of SAMUS's forward pass against the published formulation with the same weights.

    python -m benchmarks.forward [PRESET] [REPEATS]

Rows with three masks ask three prompts about one image, which the published code encodes anew for
each. The runs are interleaved, and the fastest of each is shown; nothing is, if the outputs are not
the same.
"""

import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from tqdm import tqdm

from model import Prompts, SamusSegmenter, build_segmenter

from .agreement import refuse_disagreement
from .published_formulation import PublishedFormulation
from .table import Measurement, print_measurements

AIMS = {"float32": 1.6, "bfloat16": 3.5}
NUM_MASKS = (1, 3)


def build(preset: str) -> SamusSegmenter:
    """Build the preset in its published form, with reproducible random weights."""
    torch.manual_seed(0)
    segmenter = build_segmenter(preset, has_detail_skip=False, branch_normalisation="layer")
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


def setting_name(precision: str, *, num_masks: int) -> str:
    """Name a precision and a number of masks an image, for the rows of a table."""
    return f"{precision}, {num_masks} mask{'s' if num_masks > 1 else ''}"


def fastest_seconds(runs: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Time every run `repeats` times in turns; the caller has run each once to warm up."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(segmenter: SamusSegmenter, *, repeats: int) -> list[Measurement]:
    """Time both formulations in both precisions, for one and three masks of an image.

    Raises:
        ValueError: Their outputs differ, so that a ratio would mean nothing.
    """
    segmenter.eval()
    published = PublishedFormulation(segmenter)
    side = segmenter.architecture.input_size
    images = torch.rand(1, 1, side, side)
    rows = []
    settings = [(precision, masks) for precision in AIMS for masks in NUM_MASKS]
    for precision, num_masks in tqdm(settings, desc="forward", unit="setting", disable=None):
        prompts = clicks(segmenter, image_index=[0] * num_masks)
        label = setting_name(precision, num_masks=num_masks)

        def theirs(given: Prompts = prompts) -> Tensor:
            return published(images, given)

        def ours(given: Prompts = prompts) -> Tensor:
            return segmenter(images, given).low_resolution_logits

        with (
            torch.no_grad(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"),
        ):
            refuse_disagreement(label, ours=ours(), published=theirs(), precision=precision)
            runs = {f"published, {label}": theirs, f"ours, {label}": ours}
            seconds = fastest_seconds(runs, repeats=repeats)
        rows += as_rows(seconds, aim=AIMS[precision] if num_masks == 1 else None)
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
