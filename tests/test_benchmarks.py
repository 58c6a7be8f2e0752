"""The benchmarks run, and compare only what computes the same."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import forward
from benchmarks.agreement import refuse_disagreement
from benchmarks.models import ModelCost, phase_cost, print_costs
from model import build_segmenter
from pipeline.utilisation import attention_flops, flop_counter

REPOSITORY = Path(__file__).resolve().parent.parent
ONE_AND_THREE = ("1 mask", "3 masks")


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
    masks = [name for name in rows if "masks a second" in name]
    assert set(rows) - set(masks) == expected
    if module == "train_step":
        one, several = (rows.pop(f"ours, masks a second, float32, {n}") for n in ONE_AND_THREE)
        seconds = [rows[f"ours step, float32, {n}"][0] for n in ONE_AND_THREE]
        assert one[0] == pytest.approx(1 / seconds[0], rel=0.01)
        assert several[0] == pytest.approx(3 / seconds[1], rel=0.01)
        assert float(several[1].removesuffix("x")) == pytest.approx(several[0] / one[0], rel=0.02)
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


def test_attention_on_a_cpu_counts_by_the_width_of_a_head():
    queries = torch.rand(3, 2, 49, 24 + 14)
    with torch.no_grad(), flop_counter(build_segmenter("sam_tiny", width=48, num_heads=2)) as found:
        nn.functional.scaled_dot_product_attention(queries, queries, queries)
    assert found.get_total_flops() == attention_flops(queries.shape, queries.shape, head_width=24)


def test_a_model_that_does_not_fit_into_memory_is_a_dash_in_the_table(capsys):
    cost = ModelCost(
        preset="sam_vit_h",
        input_size=1024,
        num_parameters=641_090_608,
        num_trainable=7,
        phases={"forward": None, "step": None},
    )
    print_costs(iter([cost]))
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("| sam_vit_h"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [
        "1024",
        "641,090,608",
        "7",
        *"------",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["autosamus_tiny", "medsam_tiny", "unet_tiny"])
def test_a_training_step_costs_more_arithmetic_than_a_forward_pass(preset):
    forward_pass, step = (phase_cost(preset, phase, 1) for phase in ("forward", "step"))
    assert forward_pass is not None
    assert step is not None
    assert forward_pass.gigaflops < step.gigaflops < 4 * forward_pass.gigaflops
    assert min(forward_pass.seconds, step.seconds, forward_pass.peak_gibibytes) > 0


@pytest.mark.slow
def test_the_costs_of_models_are_a_table_in_markdown():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.models", "1", "unet_tiny"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [row.strip("|").split("|")[0].strip() for row in rows[2:]] == ["unet_tiny"]
    assert all("-" not in row for row in rows[2:])
