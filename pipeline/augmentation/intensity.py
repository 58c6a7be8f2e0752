"""Changes of brightness as another scanner, setting or patient would make them.

Axis names used in this file:
    channel      1 for grey, 3 for colour
    row, column  of the framed image, in pixels

An image is taken for a log-compressed display of 60 decibels: adding a number of decibels adds a
sixtieth of it to the brightness. What is black (outside of the sector, padding) stays black.

Contrast and gamma are those of torchvision. They are written out here because every worker would
import torchvision for them, which takes as long as torch itself.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .config import AugmentationConfig
from .geometry import Matrix

_DISPLAY_DECIBELS = 60.0

_BLACK_BELOW = 0.1
"""Brightness under which a change of decibels fades out towards none at black."""

_SPECKLE_GRAIN_ROWS = 2
_SPECKLE_GRAIN_COLUMNS = (3, 6)
"""Size of a speckle in framed pixels: across it is longer than in depth, and varies."""

_INTERPOLATION_LOSS = 2.0 / 3.0
"""Standard deviation of unit noise after bilinear interpolation between its grid points."""


@dataclass(frozen=True, kw_only=True)
class AcousticShadow:
    """A wedge below something that lets no sound through; lengths as fractions of the image."""

    across: float
    """Middle of its upper end."""

    depth: float
    """Where it begins."""

    half_width: float
    """At its upper end."""

    spread: float
    """Growth of the half width per depth."""

    decibels: float
    """Loss inside."""


@dataclass(frozen=True, kw_only=True)
class IntensityChange:
    """What is done to the brightness of one image; the defaults do nothing."""

    gain_decibels: float = 0.0
    attenuation_decibels: float = 0.0
    """Loss at the bottom of the original image."""

    shadow: AcousticShadow | None = None
    speckle_fraction: float = 0.0
    contrast: float = 1.0
    gamma: float = 1.0


def draw_intensity(config: AugmentationConfig, generator: np.random.Generator) -> IntensityChange:
    """Draw what happens to one image.

    The number of draws does not depend on what is switched on, so that switching one change off
    leaves the others as they were.
    """
    chances = generator.random(6)
    gain, attenuation, speckle, contrast, gamma = generator.random(5)
    shadow = _draw_shadow(config, generator)
    return IntensityChange(
        gain_decibels=_if_drawn(
            chances[0] < config.gain_probability, (2.0 * gain - 1.0) * config.max_gain_decibels
        ),
        attenuation_decibels=_if_drawn(
            chances[1] < config.attenuation_probability,
            attenuation * config.max_attenuation_decibels,
        ),
        shadow=shadow if chances[2] < config.shadow_probability else None,
        speckle_fraction=_if_drawn(
            chances[3] < config.speckle_probability, speckle * config.max_speckle_fraction
        ),
        contrast=_if_drawn(
            chances[4] < config.contrast_probability,
            _between(config.contrast_range, contrast),
            otherwise=1.0,
        ),
        gamma=_if_drawn(
            chances[5] < config.gamma_probability,
            _between(config.gamma_range, gamma),
            otherwise=1.0,
        ),
    )


def change_intensity(
    image: Float[Tensor, "channel row column"],
    change: IntensityChange,
    *,
    acquisition: Matrix,
    speckle_generator: np.random.Generator,
) -> Float[Tensor, "channel row column"]:
    """Return the image in [0, 1] after `change`, in the order signal, speckle, display.

    Args:
        image: A framed square image in [0, 1].
        change: What to do.
        acquisition: Map from framed pixels to (across, depth) on the original image.
        speckle_generator: Gives the noise; not used where the change has no speckle.
    """
    decibels = _decibels(change, acquisition=acquisition, size=image.shape[-1])
    if decibels is not None:
        audible = (image / _BLACK_BELOW).clamp_(max=1.0)
        image = torch.addcmul(image, audible, decibels / _DISPLAY_DECIBELS).clamp_(0.0, 1.0)
    if change.speckle_fraction > 0.0:
        noise = _speckle(speckle_generator, size=image.shape[-1])
        image = (image * (1.0 + change.speckle_fraction * noise)).clamp_(0.0, 1.0)
    if change.contrast != 1.0:
        image = torch.lerp(image.mean(), image, change.contrast).clamp_(0.0, 1.0)
    if change.gamma != 1.0:
        image = image.pow(change.gamma)
    return image


def _decibels(
    change: IntensityChange, *, acquisition: Matrix, size: int
) -> Float[Tensor, "..."] | None:
    """Return the gain of every pixel (or one for all of them), or None if there is no change."""
    if change.attenuation_decibels == 0.0 and change.shadow is None:
        return torch.tensor(change.gain_decibels) if change.gain_decibels else None
    depth = _linear_field(acquisition[1], size=size).clamp_(0.0, 1.0)
    decibels = change.gain_decibels - change.attenuation_decibels * depth
    if change.shadow is not None:
        across = _linear_field(acquisition[0], size=size)
        decibels -= change.shadow.decibels * _shadow_profile(change.shadow, across, depth)
    return decibels


def _linear_field(
    coefficients: Float[np.ndarray, " 3"], *, size: int
) -> Float[Tensor, "row column"]:
    """Return a x + b y + c at the centres of pixels."""
    across, down, offset = (float(value) for value in coefficients)
    centres = torch.arange(0.5, size, dtype=torch.float32)
    return (centres * across + offset) + (centres * down)[:, None]


def _shadow_profile(
    shadow: AcousticShadow, across: Float[Tensor, "row column"], depth: Float[Tensor, "row column"]
) -> Float[Tensor, "row column"]:
    """Return how deep in the shadow every pixel lies: 1 inside, 0 outside, soft at the edges."""
    below = depth - shadow.depth
    half_width = shadow.half_width + shadow.spread * below
    sideways = (half_width - (across - shadow.across).abs()) / (0.4 * shadow.half_width)
    return sideways.clamp_(0.0, 1.0) * (below / 0.05).clamp_(0.0, 1.0)


def _speckle(generator: np.random.Generator, *, size: int) -> Float[Tensor, "row column"]:
    """Return correlated noise of mean 0 and standard deviation of about 1."""
    grain_columns = int(generator.integers(*_SPECKLE_GRAIN_COLUMNS, endpoint=True))
    coarse = (-(-size // _SPECKLE_GRAIN_ROWS), -(-size // grain_columns))
    noise = torch.from_numpy(generator.standard_normal(coarse, dtype=np.float32))
    fine = functional.interpolate(
        noise[None, None], size=(size, size), mode="bilinear", align_corners=False
    )
    return fine[0, 0] / _INTERPOLATION_LOSS


def _draw_shadow(config: AugmentationConfig, generator: np.random.Generator) -> AcousticShadow:
    across, depth, width, spread, loss = generator.random(5)
    return AcousticShadow(
        across=_between((0.1, 0.9), across),
        depth=_between((0.1, 0.6), depth),
        half_width=_between((0.03, 0.12), width),
        spread=_between((0.0, 0.15), spread),
        decibels=config.max_shadow_decibels * _between((1.0 / 3.0, 1.0), loss),
    )


def _between(limits: tuple[float, float], fraction: float) -> float:
    return float(limits[0] + fraction * (limits[1] - limits[0]))


def _if_drawn(drawn: bool, value: float, *, otherwise: float = 0.0) -> float:
    return float(value) if drawn else otherwise
