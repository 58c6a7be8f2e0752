"""Training hands in brightness and evaluation colour; a model must not see the difference."""

import pytest
import torch

from model import PRESETS, Prompts, build_segmenter

BRIGHTNESS_ALONE = [
    name
    for name, architecture in PRESETS.items()
    if name.endswith("_tiny") and architecture.num_channels == 1
]


@pytest.mark.parametrize("preset", BRIGHTNESS_ALONE)
def test_a_colour_picture_counts_by_its_brightness(preset: str) -> None:
    segmenter = build_segmenter(preset).eval()
    side = segmenter.architecture.input_size
    colour = torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(0))
    brightness = (colour * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    prompts = None
    if not segmenter.is_automatic:
        prompts = Prompts(
            image_index=torch.tensor([0]),
            points=torch.tensor([[[side / 2, side / 3]]]),
            point_labels=torch.tensor([[1]]),
        )
    with torch.no_grad():
        answers = [
            segmenter(images, prompts).low_resolution_logits
            for images in (colour, brightness, brightness.expand(-1, 3, -1, -1), colour.flip(1))
        ]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(answers[0], answers[2], rtol=1e-4, atol=1e-4)
    assert (answers[0] - answers[3]).abs().max() > 1e-3
