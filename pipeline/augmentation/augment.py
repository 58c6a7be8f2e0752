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
from pipeline.sample_draws import Purpose, SampleDraws

from .config import AugmentationConfig
from .geometry import FrameMap, draw_geometry, warp_image, warp_masks
from .intensity import IntensityChange, change_intensity, draw_intensity

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

    Image and masks pass through one map, each interpolated once, so that they cannot drift apart. A
    mask's pixel counts as inside where at least half of it is.

    Args:
        image: (row column) for grey or (row column 3) for RGB.
        masks: On the grid of `image`.
        framing: How an image becomes a square of the model's size.
        num_channels: 1 turns colour into grey, 3 repeats grey.
        config: Which changes, how often and how strong.
        draws: The only source of chance.
    """
    geometry, change = None, IntensityChange()
    if config.enabled:
        generator = draws.generator(Purpose.GEOMETRY)
        geometry = draw_geometry(config, generator, size=framing.input_size)
        change = draw_intensity(config, draws.generator(Purpose.INTENSITY))
    frame_map = FrameMap.compose(
        framing, original_size=(image.shape[0], image.shape[1]), geometry=geometry
    )
    framed = warp_image(_channels(image, num_channels=num_channels), frame_map).clamp_(0.0, 1.0)
    if change != IntensityChange():
        framed = change_intensity(
            framed,
            change,
            acquisition=frame_map.acquisition,
            speckle_generator=draws.generator(Purpose.SPECKLE),
        )
    framed = framed.expand(num_channels, -1, -1)
    if framing.padding is not None:
        # Last, so that a change of brightness leaves the padding what it is in evaluation.
        colour = torch.tensor(framing.padding)[:, None, None]
        framed = torch.where(frame_map.shows_original(), framed, colour)
    return FramedImage(image=framed, masks=warp_masks(masks, frame_map))


def _channels(image: np.ndarray, *, num_channels: int) -> Float[Tensor, "channel row column"]:
    """Return the image in [0, 1], channels first.

    Grey stays one channel even where the model wants three: it is repeated at the end.
    """
    is_colour = image.ndim == 3 and num_channels == 3
    channels = np.empty((3 if is_colour else 1, *image.shape[:2]), dtype=np.float32)
    if is_colour:
        channels[:] = np.moveaxis(image, 2, 0)
    elif image.ndim == 3:
        channels[0] = image @ _LUMA
    else:
        channels[0] = image
    channels *= np.float32(1.0 / 255.0)
    return torch.from_numpy(channels)
