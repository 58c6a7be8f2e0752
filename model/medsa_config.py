"""What can be chosen about Med-SA. No torch here."""

from dataclasses import dataclass
from typing import ClassVar

from .config import Fit, SamArchitecture


@dataclass(frozen=True, kw_only=True)
class MedSaArchitecture(SamArchitecture):
    """Med-SA in two dimensions: a frozen SAM with adapters in every block, and its own decoder."""

    kind: ClassVar[str] = "medsa"

    fit: Fit = "squash"

    adapter_ratio: float = 0.25
    """Hidden channels of an adapter, as a multiple of `width`."""

    starts_as_sam: bool = True
    """Begin with adapters that return zero, so that the first step sees SAM itself. The released
    code draws them at random."""
