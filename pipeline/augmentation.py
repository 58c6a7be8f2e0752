"""One image and its masks, from the original grid to the framed and augmented one.

Axis names used in this file:
    object       one annotated object
    channel      1 for grey, 3 for colour
    row, column  of the original image, or of the framed one, in pixels
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from model import Framing

from .augmentation_config import AugmentationConfig
from .geometry_augmentation import acquisition_matrix, draw_geometry, warp_to_frame
from .intensity_augmentation import IntensityChange, change_intensity, draw_intensity
from .sample_draws import Purpose, SampleDraws

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601, as Pillow converts)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FramedImage:
    """What the model sees, and what it should find there."""

    image: Float[Tensor, "channel row column"]
    """In [0, 1]."""

    masks: Bool[Tensor, "object row column"]


def augment(
    image: UInt8[np.ndarray, "..."],
    masks: Sequence[Bool[np.ndarray, "row column"]],
    *,
    framing: Framing,
    num_channels: int,
    config: AugmentationConfig,
    draws: SampleDraws,
) -> FramedImage:
    """Frame an image and its masks, with random changes drawn for this place of the stream.

    Image and masks pass through one map, so that they cannot drift apart. A mask's pixel counts as
    inside where at least half of it is.

    Args:
        image: (row column) for grey or (row column 3) for RGB.
        masks: On the grid of `image`.
        framing: How an image becomes a square of the model's size.
        num_channels: 1 turns colour into grey, 3 repeats grey.
        config: Which changes, how often and how strong.
        draws: The only source of chance.
    """
    layers, num_image_layers = _stack_layers(image, masks, num_channels=num_channels)
    geometry, change = None, IntensityChange()
    if config.enabled:
        generator = draws.generator(Purpose.GEOMETRY)
        geometry = draw_geometry(config, generator, size=framing.input_size)
        change = draw_intensity(config, draws.generator(Purpose.INTENSITY))
    framed = warp_to_frame(layers, framing=framing, geometry=geometry)
    changed = change_intensity(
        framed[:num_image_layers].clamp(0.0, 1.0),
        change,
        acquisition=acquisition_matrix(
            framing, geometry=geometry, original_size=(layers.shape[1], layers.shape[2])
        ),
        speckle_generator=draws.generator(Purpose.SPECKLE),
    )
    return FramedImage(
        image=changed.expand(num_channels, -1, -1), masks=framed[num_image_layers:] >= 0.5
    )


def _stack_layers(
    image: np.ndarray, masks: Sequence[np.ndarray], *, num_channels: int
) -> tuple[Float[Tensor, "layer row column"], int]:
    """Return the image's channels and the masks as one stack in [0, 1], and how many are image.

    Grey stays one layer even where the model wants three: it is repeated at the end.
    """
    is_colour = image.ndim == 3 and num_channels == 3
    num_image_layers = 3 if is_colour else 1
    layers = np.empty((num_image_layers + len(masks), *image.shape[:2]), dtype=np.float32)
    if is_colour:
        layers[:3] = np.moveaxis(image, 2, 0)
    elif image.ndim == 3:
        layers[0] = image @ _LUMA
    else:
        layers[0] = image
    layers[:num_image_layers] *= np.float32(1.0 / 255.0)
    for layer, mask in zip(layers[num_image_layers:], masks, strict=True):
        layer[:] = mask
    return torch.from_numpy(layers), num_image_layers
