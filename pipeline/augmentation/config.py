"""What augmentation may do to a training image. This file never imports torch."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING


@dataclass(kw_only=True)
class AugmentationConfig:
    """Random changes of geometry and intensity; a probability of 0 switches one off.

    The published SAMUS: `rotation_probability=0.5 max_rotation_degrees=30 zoom_probability=0.5
    max_zoom=1.3 gamma_probability=0.5 gamma_range=[0.417,1.0] contrast_probability=0.5
    contrast_range=[0.8,2.0]`, all others 0.
    """

    enabled: bool = True
    """False switches all of them off, whatever their probabilities."""

    rotation_probability: float = 0.5
    """Chance of a rotation about the middle of the image."""

    max_rotation_degrees: float = 30.0
    """Largest angle, to either side."""

    zoom_probability: float = 0.5
    """Chance of cutting out a smaller square at a random place and enlarging it, or of shrinking
    the whole onto a black background."""

    max_zoom: float = 1.3
    """Largest enlargement; 1 is none."""

    min_zoom: float = 1.0
    """Smallest enlargement; below 1 the image shrinks."""

    flip_probability: float = 0.0
    """Chance of exchanging left and right. Off: where the probe's marker is has a meaning."""

    gain_probability: float = 0.3
    """Chance of another overall gain."""

    max_gain_decibels: float = 6.0
    """Largest change of gain, up or down, of a display that shows 60 dB."""

    attenuation_probability: float = 0.3
    """Chance of a signal that fades with depth."""

    max_attenuation_decibels: float = 20.0
    """Largest loss at the bottom of the original image, of a display that shows 60 dB."""

    shadow_probability: float = 0.2
    """Chance of an acoustic shadow: a dark wedge below a random depth."""

    max_shadow_decibels: float = 30.0
    """Largest loss inside the shadow; the smallest is a third of it."""

    speckle_probability: float = 0.3
    """Chance of additional speckle: correlated noise that grows with the brightness."""

    max_speckle_fraction: float = 0.2
    """Largest standard deviation of the speckle, as a fraction of the brightness."""

    contrast_probability: float = 0.5
    """Chance of another contrast about the mean brightness."""

    contrast_range: tuple[float, float] = (0.8, 1.6)
    """Smallest and largest factor of the contrast."""

    gamma_probability: float = 0.5
    """Chance of another gamma."""

    gamma_range: tuple[float, float] = (0.7, 1.8)
    """Smallest and largest exponent of the brightness in [0, 1]; above 1 darkens."""

    min_object_pixels: int = 4
    """An object with fewer pixels than this on the framed image, after cutting and resizing, is
    left out and counted. This holds without augmentation, too."""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if name.endswith("_probability"):
                self._refuse_unless(0.0 <= value <= 1.0, name, "between 0 and 1")
            elif name.endswith("_decibels"):
                self._refuse_unless(value >= 0.0, name, "0 or more")
            elif name.endswith("_range"):
                ordered = 0.0 < value[0] <= value[1]
                self._refuse_unless(ordered, name, "[smallest, largest], both positive")
        self._refuse_unless(
            0.0 <= self.max_rotation_degrees <= 180.0, "max_rotation_degrees", "between 0 and 180"
        )
        self._refuse_unless(1.0 <= self.max_zoom <= 10.0, "max_zoom", "between 1 and 10")
        self._refuse_unless(0.1 <= self.min_zoom <= 1.0, "min_zoom", "between 0.1 and 1")
        self._refuse_unless(
            0.0 <= self.max_speckle_fraction <= 1.0, "max_speckle_fraction", "between 0 and 1"
        )
        self._refuse_unless(self.min_object_pixels >= 1, "min_object_pixels", "at least 1")

    def _refuse_unless(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ValueError(
                f"augmentation.{name} is {getattr(self, name)}; it must be {expected}."
            )


@dataclass(kw_only=True)
class InspectAugmentationConfig:
    """Draw what each augmentation does to images of a corpus."""

    url: str = MISSING
    """Folder or URL of a corpus."""

    sheet: str = "augmentation.png"
    """PNG file to draw into: a row per augmentation, a column per image."""

    num_pictures: int = 5
    """Images, taken evenly from the corpus."""

    input_size: int = 160
    """Side of the framed image, in pixels."""

    fit: Literal["squash", "letterbox"] = "squash"
    """How an image becomes square: squash changes the aspect ratio, letterbox pads."""

    seed: int = 0
    """Of the draws."""

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        if not self.sheet.lower().endswith(".png"):
            raise ValueError(f"sheet={self.sheet}: expected the name of a PNG file.")
        for name, smallest in (("num_pictures", 1), ("input_size", 16), ("seed", 0)):
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; at least {smallest} is needed.")
