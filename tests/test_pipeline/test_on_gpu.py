"""What a GPU must do as a CPU does. Never run without one, and not claimed then."""

from pathlib import Path

import pytest
import torch

from pipeline.doctor_config import DoctorConfig
from pipeline.memory_estimate import build_dry_step, random_batch
from pipeline.pretraining import pretrain
from tests.support.nano_run import build_nano_corpora, losses_of, nano_config

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


@pytest.mark.parametrize("preset", ["samus_tiny", "samus_small", "unet_tiny"])
def test_loss_and_gradients_on_a_gpu_are_those_of_a_cpu(preset: str) -> None:
    step = build_dry_step(DoctorConfig(preset=preset, has_base=False))
    batch = random_batch(step, num_images=2, num_objects=3)
    expected = step(batch).total
    expected.backward()
    gradients = {
        name: weight.grad.clone()
        for name, weight in step.named_parameters()
        if weight.grad is not None
    }
    step.zero_grad(set_to_none=True)
    on_gpu = step.to("cuda")
    loss = on_gpu(batch.to("cuda")).total
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    for name, weight in on_gpu.named_parameters():
        if name in gradients:
            assert weight.grad is not None
            torch.testing.assert_close(weight.grad.cpu(), gradients[name], rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_trains_on_a_gpu_and_ends(tmp_path: Path, precision: str) -> None:
    corpora = build_nano_corpora(tmp_path / "corpora")
    config = nano_config(corpora, root=tmp_path / "runs", words=(f"precision={precision}",))
    pretrain(config)
    assert sorted(losses_of(tmp_path / "runs" / "nano")) == [1, 2, 3, 4]
