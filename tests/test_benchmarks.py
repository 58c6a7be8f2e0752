"""The benchmarks run, and compare only what computes the same."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import forward
from benchmarks.agreement import refuse_disagreement

REPOSITORY = Path(__file__).resolve().parent.parent


def table_of(module, *words):
    """Run a benchmark as a user does, and return its rows: name to value and ratio."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = [
        [cell.strip() for cell in line.strip("\u2502").split("\u2502")]
        for line in done.stdout.splitlines()
        if line.startswith("\u2502")
    ]
    return {row[0]: (float(row[1]), row[3]) for row in cells if row[1]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "quantities", "settings"),
    [
        (
            "forward",
            ["{}"],
            ["float32, 1 mask", "float32, 3 masks", "bfloat16, 1 mask", "bfloat16, 3 masks"],
        ),
        (
            "train_step",
            ["{} step", "{} peak memory"],
            ["float32, 1 mask", "float32, 3 masks", "bfloat16, 1 mask"],
        ),
    ],
)
def test_a_benchmark_prints_ours_against_the_published_formulation(module, quantities, settings):
    rows = table_of(module, "samus_tiny", "1")
    expected = {
        f"{quantity.format(who)}, {setting}"
        for quantity in quantities
        for who in ("published", "ours")
        for setting in settings
    }
    assert set(rows) == expected
    for name, (value, ratio) in rows.items():
        assert value > 0
        if name.startswith("ours"):
            baseline, _ = rows[name.replace("ours", "published", 1)]
            assert float(ratio.removesuffix("x")) == pytest.approx(baseline / value, rel=0.02)
        else:
            assert ratio == ""


def test_formulations_that_compute_something_else_are_not_compared(monkeypatch):
    class OtherFormulation(nn.Module):
        def __init__(self, segmenter):
            super().__init__()
            self.segmenter = segmenter

        def forward(self, images, prompts):
            return self.segmenter(1 - images, prompts).low_resolution_logits

    monkeypatch.setattr(forward, "PublishedFormulation", OtherFormulation)
    with pytest.raises(ValueError, match=r"float32, 1 mask: ours differs .*not compared"):
        forward.measure(forward.build("samus_tiny"), repeats=1)


@pytest.mark.parametrize("change", [0.1, float("nan")])
def test_rounding_is_no_disagreement_and_anything_else_is(change):
    published = torch.linspace(-3, 3, 50)
    near = published + 1e-6
    refuse_disagreement("logits", ours=near, published=published, precision="float32")
    with pytest.raises(ValueError, match="logits: ours differs"):
        refuse_disagreement("logits", ours=near + change, published=published, precision="float32")
