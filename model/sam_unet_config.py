"""What can be chosen about SAM-UNet. No torch here."""

from dataclasses import dataclass
from typing import ClassVar

from .config import SamArchitecture

FIRST_STAGE_STRIDE = 4
"""Pixels of the image a cell of a residual network's first stage covers, in each direction."""


@dataclass(frozen=True, kw_only=True)
class SamUnetArchitecture(SamArchitecture):
    """SAM-UNet: a small frozen SAM, a residual network beside it, and a decoder that sees both.

    The stages of the network join the tokens before the global blocks, in order.
    """

    kind: ClassVar[str] = "sam_unet"

    input_size: int = 256
    position_grid: int = 16

    branch_blocks: tuple[int, ...] = (3, 4, 6, 3)
    """Residual blocks of each stage of the branch; one stage per global block."""

    branch_channels: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of each stage of the branch; with bottlenecks, a quarter of them."""

    branch_has_bottlenecks: bool = False
    """Residual blocks of three convolutions (ResNet-50) instead of two (ResNet-34)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = {len(self.branch_blocks), len(self.branch_channels), len(self.global_blocks)}
        if len(counts) != 1 or min(self.branch_blocks + self.branch_channels, default=0) < 1:
            raise ValueError(
                f"branch_blocks {self.branch_blocks} and branch_channels {self.branch_channels} "
                f"must give one positive number for each of the global_blocks {self.global_blocks}."
            )
        last_stride = FIRST_STAGE_STRIDE << (len(self.branch_blocks) - 1)
        if self.input_size % last_stride or self.patch_stride.bit_count() != 1:
            raise ValueError(
                f"input_size is {self.input_size} and patch_stride {self.patch_stride}; the branch "
                f"needs a multiple of {last_stride} and a power of 2."
            )
