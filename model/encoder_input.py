"""Framed images as an encoder takes them: three channels, and SAM's normalisation.

Axis names used in this file:
    image, channel, row, column    of the framed batch
"""

from jaxtyping import Float, Shaped
from torch import Tensor

from .config import Architecture, SamArchitecture

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the brightness of a picture."""

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_DEVIATION = (58.395, 57.12, 57.375)
"""Of red, green and blue in SAM's training images, for pixels of 0 to 255."""


def padding_colour(architecture: Architecture) -> tuple[float, float, float] | None:
    """Return the colour of what a letterbox pads, in [0, 1]; None is black.

    SAM pads normalised images with zeros, which are the mean pixel. One channel has no such colour.
    """
    is_sams = isinstance(architecture, SamArchitecture) and architecture.normalises
    if not is_sams or architecture.fit != "letterbox" or architecture.num_channels != 3:
        return None
    red, green, blue = (value / 255.0 for value in PIXEL_MEAN)
    return red, green, blue


def as_three_channels(
    images: Shaped[Tensor, "image channel row column"], *, architecture: Architecture
) -> Float[Tensor, "image 3 row column"]:
    """Refuse what was not framed; return three channels.

    A model of one channel sees a colour picture by its luma (ITU-R BT.601): alike in training,
    evaluation and export, however many channels come in. Grey is repeated.
    """
    side = architecture.input_size
    if not images.is_floating_point():
        raise ValueError(
            f"Images are {images.dtype}; expected floats in [0, 1]. Divide 8-bit images by 255."
        )
    if images.shape[1] not in (1, 3) or tuple(images.shape[2:]) != (side, side):
        raise ValueError(
            f"Images have shape {tuple(images.shape)}; expected 1 or 3 channels of "
            f"{side} x {side} pixels. Frame them first with segmenter.framing.frame."
        )
    if images.shape[1] == 3 and architecture.num_channels == 1:
        weights = images.new_tensor(LUMA_WEIGHTS)[:, None, None]
        images = (images * weights).sum(dim=1, keepdim=True)
    return images.expand(-1, 3, -1, -1)


def as_encoder_input(
    images: Shaped[Tensor, "image channel row column"], *, architecture: SamArchitecture
) -> Float[Tensor, "image 3 row column"]:
    """Return three channels, normalised where the architecture asks for it."""
    images = as_three_channels(images, architecture=architecture)
    if not architecture.normalises:
        return images
    mean, deviation = (
        images.new_tensor(values)[:, None, None] / 255.0 for values in (PIXEL_MEAN, PIXEL_DEVIATION)
    )
    return (images - mean) / deviation
