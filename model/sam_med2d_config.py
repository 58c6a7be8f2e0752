"""What can be chosen about SAM-Med2D. No torch here."""

from dataclasses import dataclass
from typing import ClassVar

from .config import Fit, SamArchitecture


@dataclass(frozen=True, kw_only=True)
class SamMed2dArchitecture(SamArchitecture):
    """SAM-Med2D: a small frozen SAM with convolutional adapters beside every MLP."""

    kind: ClassVar[str] = "sam_med2d"

    input_size: int = 256
    fit: Fit = "squash"
    position_grid: int = 16

    adapter_ratio: float = 0.25
    """Hidden channels of an adapter's channel gate, as a multiple of `width`."""

    starts_as_sam: bool = False
    """Begin with adapters that return zero. As published they begin by adding the normalised
    tokens to every block."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid_size % 2:
            raise ValueError(
                f"input_size {self.input_size} gives a grid of {self.grid_size} cells, which the "
                "adapters halve and double again: give an even multiple of patch_stride."
            )
