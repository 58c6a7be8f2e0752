"""What can be chosen about the student. No torch here."""

from dataclasses import dataclass
from typing import ClassVar

from .config import Fit, SamArchitecture

STAGE_STRIDES = (4, 8, 16, 32)
"""Pixels of the framed image that a cell of each stage of the small encoder covers."""


@dataclass(frozen=True, kw_only=True)
class StudentArchitecture(SamArchitecture):
    """A ConvNeXt of `timm` that feeds one transformer block and SAM's decoder.

    By default it takes and gives what SAMUS on ViT-B does, so that it can be its student.
    """

    kind: ClassVar[str] = "samus_student"

    input_size: int = 256
    fit: Fit = "squash"
    num_channels: int = 1
    normalises: bool = False
    patch_size: int = 8
    patch_stride: int = 8
    position_grid: int = 32
    width: int = 192
    depth: int = 1
    num_heads: int = 3
    mlp_ratio: float = 2.0
    global_blocks: tuple[int, ...] = (0,)

    branch_depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks of each stage of the ConvNeXt."""

    branch_channels: tuple[int, ...] = (48, 96, 192, 320)
    """Channels of each stage of the ConvNeXt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.branch_depths) != 4 or len(self.branch_channels) != 4:
            raise ValueError(
                f"branch_depths {self.branch_depths} and branch_channels {self.branch_channels} "
                "must have four numbers each: one for each stage of a ConvNeXt."
            )
        if self.patch_stride not in STAGE_STRIDES or self.input_size % STAGE_STRIDES[-1]:
            raise ValueError(
                f"patch_stride is {self.patch_stride} and input_size {self.input_size}; expected "
                f"one of {STAGE_STRIDES}, and a multiple of {STAGE_STRIDES[-1]}."
            )
