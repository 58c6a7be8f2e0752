"""What a GPU must do as a CPU does. Never run without one, and not claimed then."""

from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from model import build_segmenter
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


@pytest.mark.parametrize(("preset", "side"), [("samus_vit_b", 256), ("sam_vit_b", 1024)])
def test_every_attention_of_an_encoder_in_bfloat16_takes_the_flash_kernel(
    preset: str, side: int
) -> None:
    """With relative positions, in windows and over the grid; no other kernel is allowed."""
    flash, plain = (
        answers(preset, side=side, backend=backend, device="cuda")
        for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH)
    )
    for found, expected in zip(flash, plain, strict=True):
        assert (found - expected).norm() < 0.05 * expected.norm()


def answers(
    preset: str, *, side: int, backend: SDPBackend, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the embedding by one kernel, and the gradient of a block's relative positions."""
    torch.manual_seed(0)
    segmenter = build_segmenter(preset, depth=2, global_blocks=(1,)).to(device)
    for name, weights in segmenter.named_parameters():
        if "relative_positions" in name:
            torch.nn.init.normal_(weights, std=0.1)
    images = torch.rand(1, 3, side, side, device=device)
    with sdpa_kernel(backend), torch.autocast(device, dtype=torch.bfloat16):
        embedding = segmenter.encode(images).embedding.float()
        (embedding * torch.randn_like(embedding)).mean().backward()
    moved = segmenter.get_parameter("image_encoder.blocks.1.attn.relative_positions.rows")
    assert moved.grad is not None
    return embedding.detach(), moved.grad


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_trains_on_a_gpu_and_ends(tmp_path: Path, precision: str) -> None:
    corpora = build_nano_corpora(tmp_path / "corpora")
    config = nano_config(corpora, root=tmp_path / "runs", words=(f"precision={precision}",))
    pretrain(config)
    assert sorted(losses_of(tmp_path / "runs" / "nano")) == [1, 2, 3, 4]
