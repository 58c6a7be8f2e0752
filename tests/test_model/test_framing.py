"""Frame and unframe are one pair, and agree with Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from model import Framing
from model.config import Fit

SIZES = [(40, 90), (90, 40), (64, 64), (1, 1), (7, 200), (300, 280)]


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", SIZES)
def test_frame_is_square_and_unframe_returns_to_the_original_grid(
    fit: Fit, size: tuple[int, int]
) -> None:
    framing = Framing(input_size=64, fit=fit)
    framed = framing.frame(torch.rand(1, *size))
    assert framed.shape == (1, 64, 64)
    assert framing.unframe(torch.rand(3, 16, 16), original_size=size).shape == (3, *size)


@pytest.mark.parametrize("size", SIZES)
def test_squash_equals_pillows_bilinear_resize(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(size, dtype=np.float32)
    expected = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    framed = Framing(input_size=64, fit="squash").frame(torch.from_numpy(image)[None])
    np.testing.assert_allclose(framed[0].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", [(40, 90), (90, 40), (300, 280)])
def test_points_move_with_the_picture(fit: Fit, size: tuple[int, int]) -> None:
    framing = Framing(input_size=128, fit=fit)
    rows, columns = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float32),
        torch.arange(size[1], dtype=torch.float32),
        indexing="ij",
    )
    # Each pixel of the image holds its own coordinates, so that the frame tells where they went.
    framed = framing.frame(torch.stack([columns, rows]))
    point = torch.tensor([[size[1] * 0.6, size[0] * 0.4]])
    moved = framing.frame_points(point, original_size=size)[0]
    column, row = moved.round().long().tolist()
    per_pixel = max(size[1], size[0]) / 128 + 1
    assert (framed[:, row, column] - point[0]).abs().max() < per_pixel


def test_corners_of_the_image_go_to_corners_of_the_frame() -> None:
    framing = Framing(input_size=64, fit="squash")
    corners = torch.tensor([[-0.5, -0.5], [199.5, 99.5]])
    moved = framing.frame_points(corners, original_size=(100, 200))
    torch.testing.assert_close(moved, torch.tensor([[-0.5, -0.5], [63.5, 63.5]]))


def test_letterbox_pads_right_and_below_with_zeros_and_unframe_drops_it() -> None:
    framing = Framing(input_size=64, fit="letterbox")
    framed = framing.frame(torch.ones(1, 30, 60))
    assert torch.equal(framed[0, :32], torch.ones(32, 64))
    assert torch.equal(framed[0, 32:], torch.zeros(32, 64))
    logits = torch.where(torch.arange(64)[:, None] < 32, 1.0, -9.0).expand(1, 64, 64)
    back = framing.unframe(logits, original_size=(30, 60))
    assert (back > 0).all()


@pytest.mark.parametrize("num_channels", [1, 3])
def test_a_coloured_padding_makes_three_channels_of_any_image(num_channels: int) -> None:
    framing = Framing(input_size=64, fit="letterbox", padding=(0.1, 0.2, 0.3))
    framed = framing.frame(torch.ones(num_channels, 60, 30))
    assert torch.equal(framed[:, :, :32], torch.ones(3, 64, 32))
    assert framed[:, :, 32:].amax(dim=(1, 2)).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert framed[:, :, 32:].amin(dim=(1, 2)).tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_mask_that_is_framed_and_unframed_is_the_mask() -> None:
    mask = torch.zeros(1, 50, 80)
    mask[:, 10:30, 20:60] = 1
    for fit in ("squash", "letterbox"):
        framing = Framing(input_size=128, fit=fit)
        back = framing.unframe(framing.frame(mask) - 0.5, original_size=(50, 80)) > 0
        assert torch.equal(back, mask > 0.5)
