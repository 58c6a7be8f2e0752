"""Model FLOPs utilisation: the arithmetic, on a CPU; what only a GPU logs is tested there."""

from pathlib import Path

import pytest
import torch

from model import build_segmenter
from pipeline.doctor_config import DoctorConfig
from pipeline.memory_estimate import build_dry_step, random_batch
from pipeline.pretraining import pretrain
from pipeline.run_folder.metric_log import MetricLog
from pipeline.utilisation import (
    Utilisation,
    attention_backward_flops,
    attention_flops,
    flop_counter,
    peak_flops,
)
from tests.support.nano_run import nano_config


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA A100-SXM4-80GB", "float32", 19.5e12),
        ("NVIDIA L4", "bfloat16", 121e12),
        ("NVIDIA L40S", "bfloat16", 362e12),
        ("NVIDIA GeForce GTX 1080", "float32", None),
    ],
)
def test_the_peak_follows_from_the_name_and_the_precision(
    name: str, precision: str, expected: float | None
) -> None:
    assert peak_flops(name, precision=precision) == expected


def test_features_that_carry_positions_do_not_count_as_arithmetic_of_the_model() -> None:
    # Two products of 49 x 49 x 64, each a multiply and an add: the 14 one-hot columns are left out.
    one = 2 * 2 * 49 * 49 * 64
    padded = (3, 2, 49, 64 + 14)
    assert attention_flops(padded, padded, padded, head_width=64, out_shape=padded) == 6 * one
    backward = attention_backward_flops(padded, padded, padded, padded, head_width=64)
    assert backward == 12 * one


def test_the_counter_takes_fused_attention_by_the_width_of_a_head() -> None:
    padded = torch.empty(3, 2, 49, 24 + 14, device="meta", dtype=torch.bfloat16)
    with flop_counter(build_segmenter("samus_tiny", width=48, num_heads=2)) as counter:
        torch.ops.aten._scaled_dot_product_flash_attention(padded, padded, padded)
    assert counter.get_total_flops() == attention_flops(padded.shape, padded.shape, head_width=24)


def test_a_counted_layer_has_the_arithmetic_that_its_sizes_say() -> None:
    layer = torch.nn.Linear(8, 16)
    with flop_counter(build_segmenter("samus_tiny")) as counter:
        layer(torch.zeros(5, 8)).sum().backward()
    # Forward, and the gradient of the weights; the input has none.
    assert counter.get_total_flops() == 2 * (2 * 5 * 8 * 16)


def test_utilisation_is_counted_once_on_a_real_step_and_follows_the_speed() -> None:
    step = build_dry_step(DoctorConfig(preset="samus_tiny", has_base=False))
    utilisation = Utilisation(step.segmenter, peak=1e12, images_per_step=2)
    assert utilisation.at(10.0) == {}
    with utilisation.counting():
        step(random_batch(step, num_images=2, num_objects=2)).total.backward()
    (slow,) = utilisation.at(10.0).values()
    assert slow > 0
    with utilisation.counting():
        step(random_batch(step, num_images=1, num_objects=1)).total.backward()
    assert utilisation.at(20.0) == {"speed/model_flops_utilisation": pytest.approx(2 * slow)}


def test_a_cpu_logs_no_utilisation(nano_corpora: Path, tmp_path: Path) -> None:
    pretrain(nano_config(nano_corpora, root=tmp_path, words=("run.max_steps=1",)))
    rows = MetricLog(tmp_path / "nano" / "metrics.jsonl").rows()
    (row,) = (row for row in rows if row.kind == "train")
    assert "speed/images_per_second" in row.values
    assert "speed/model_flops_utilisation" not in row.values


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_a_known_gpu_logs_its_utilisation(nano_corpora: Path, tmp_path: Path) -> None:
    if peak_flops(torch.cuda.get_device_name(), precision="float32") is None:
        pytest.skip("the peak of this GPU is not in the table")
    pretrain(nano_config(nano_corpora, root=tmp_path, words=("run.max_steps=2",)))
    log = MetricLog(tmp_path / "nano" / "metrics.jsonl")
    rows = [row for row in log.rows() if row.kind == "train"]
    assert rows
    assert all(0 < row.values["speed/model_flops_utilisation"] < 1 for row in rows)
