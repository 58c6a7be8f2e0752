"""Chance for one place of the stream: a pure function of seed, position and purpose."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for. A number is never used for two purposes, nor given anew."""

    OBJECTS = 1
    """Which objects of an image are trained on."""

    GEOMETRY = 2
    INTENSITY = 3
    SPECKLE = 4
    PROMPTS = 5
    ERROR_CLICKS = 6


@dataclass(frozen=True, kw_only=True)
class SampleDraws:
    """The random numbers of the sample at one position of the stream.

    Nothing is kept from one sample to the next, so no random state has to be saved, and a sample
    that comes again later is drawn differently.
    """

    seed: int
    position: int

    def generator(self, purpose: Purpose) -> np.random.Generator:
        """Return a fresh generator: the same one each time for the same purpose."""
        return np.random.default_rng((self.seed, self.position, int(purpose)))
