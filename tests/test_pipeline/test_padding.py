"""What is not image has one colour, in training as in evaluation."""

import dataclasses

import numpy as np
import pytest
import torch

from model import Framing
from pipeline.augmentation.augment import FramedImage, augment
from pipeline.augmentation.config import AugmentationConfig
from pipeline.sample_draws import SampleDraws

COLOUR = (0.2, 0.4, 0.6)
PADDED = Framing(input_size=96, fit="letterbox", padding=COLOUR)
EVERYTHING = AugmentationConfig(
    rotation_probability=1.0,
    zoom_probability=1.0,
    flip_probability=1.0,
    gain_probability=1.0,
    gamma_probability=1.0,
    contrast_probability=1.0,
    speckle_probability=1.0,
)


def framed(image: np.ndarray, config: AugmentationConfig, *, framing: Framing) -> FramedImage:
    draws = SampleDraws(seed=0, position=5)
    mask = image.reshape(*image.shape[:2], -1)[..., 0] > 120
    return augment(image, [mask], framing=framing, num_channels=3, config=config, draws=draws)


@pytest.mark.parametrize("shape", [(60, 100), (100, 60, 3)])
def test_a_padded_image_is_framed_as_in_evaluation(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels = torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1).float() / 255.0
    found = framed(image, AugmentationConfig(enabled=False), framing=PADDED)
    torch.testing.assert_close(found.image, PADDED.frame(pixels), atol=1e-6, rtol=0)


def test_the_padding_keeps_its_colour_whatever_is_changed() -> None:
    image = np.random.default_rng(0).integers(100, 156, (100, 60), dtype=np.uint8)
    black = framed(image, EVERYTHING, framing=dataclasses.replace(PADDED, padding=None))
    found = framed(image, EVERYTHING, framing=PADDED)
    is_padding = (found.image == torch.tensor(COLOUR)[:, None, None]).all(dim=0)
    assert is_padding.float().mean() > 0.2
    assert torch.equal(found.image[:, ~is_padding], black.image[:, ~is_padding])
    # Interpolation lets the picture's rim shine into the padding by half a pixel.
    assert (black.image[0, is_padding] > 0).float().mean() < 0.1
    assert torch.equal(found.masks, black.masks)
