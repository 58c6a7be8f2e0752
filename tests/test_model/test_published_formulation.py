"""The baseline of the benchmarks computes the same function, so that its ratios mean something."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.forward import build, clicks
from benchmarks.published_formulation import PublishedFormulation


@pytest.mark.slow
def test_the_published_formulation_costs_the_published_arithmetic() -> None:
    with torch.device("meta"):  # counted without being computed
        published = PublishedFormulation(build("samus_vit_b").eval())
        images, prompts = torch.rand(1, 1, 256, 256), clicks(published.segmenter, image_index=[0])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        published(images, prompts)
    assert counter.get_total_flops() / 1e9 == pytest.approx(326.3, abs=0.05)


def test_the_published_formulation_gives_our_logits_and_gradients() -> None:
    segmenter = build("samus_tiny").train()
    with torch.no_grad():
        for parameter in segmenter.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    images = torch.rand(2, 1, 64, 64)
    prompts = clicks(segmenter, image_index=[0, 1, 1])
    ours = segmenter(images, prompts).low_resolution_logits
    theirs = PublishedFormulation(segmenter)(images, prompts)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    trained = [p for p in segmenter.image_encoder.parameters() if p.requires_grad]
    our_gradients = torch.autograd.grad(ours.square().mean(), trained)
    their_gradients = torch.autograd.grad(theirs.square().mean(), trained)
    largest = max(gradient.abs().max().item() for gradient in their_gradients)
    for our_gradient, their_gradient in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-3, atol=1e-5 * largest)
