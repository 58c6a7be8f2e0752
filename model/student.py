"""The student: a small encoder before SAM's decoder, to learn what a large one sees.

A ConvNeXt (from `timm`, with fresh weights) looks at the image; its stages are added to the tokens
of one transformer block, whose output passes SAM's neck. It normalises each pixel's channels by
themselves, so that a batch never enters an image's answer. Prompts and masks are SAM's.

Axis names used in this file:
    image, channel, row, column     of an image, a stage of the branch, or the token grid
"""

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .image_encoder import BlockPlugs, EncoderPlugs
from .sam import SamSegmenter
from .student_config import STAGE_STRIDES, StudentArchitecture

Stage = Float[Tensor, "image _ _ _"]


class ConvNextBranch(nn.Module):
    """A ConvNeXt without its classifier."""

    def __init__(self, architecture: StudentArchitecture) -> None:
        super().__init__()
        import timm  # noqa: PLC0415 -- takes seconds, and no other model needs it

        self.network = timm.create_model(
            "convnext_femto",
            pretrained=False,
            features_only=True,
            depths=architecture.branch_depths,
            dims=architecture.branch_channels,
            # Made for deep networks that train for long: blocks begin as good as absent.
            ls_init_value=None,
        )

    def forward(self, images: Float[Tensor, "image 3 row column"]) -> list[Stage]:
        """Return the features of every stage, finest first."""
        return self.network(images)


class StageMerge(nn.Module):
    """Bring the stages of the branch onto the token grid and to the tokens' width, and add them."""

    def __init__(self, architecture: StudentArchitecture) -> None:
        super().__init__()
        self.grid_size = architecture.grid_size
        self.first_stage = STAGE_STRIDES.index(architecture.patch_stride)
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, architecture.width, 1)
            for channels in architecture.branch_channels[self.first_stage :]
        )

    def forward(self, stages: Sequence[Stage]) -> Float[Tensor, "image row column channel"]:
        """Return what is added to the tokens; stages finer than their grid are left out."""
        size = (self.grid_size, self.grid_size)
        merged = [
            functional.interpolate(project(stage), size, mode="bilinear", align_corners=False)
            for project, stage in zip(self.projections, stages[self.first_stage :], strict=True)
        ]
        return sum(merged[1:], merged[0]).permute(0, 2, 3, 1)


class StudentSegmenter(SamSegmenter):
    """The student, asked by points, boxes or earlier masks."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = (ConvNextBranch, StageMerge)

    def __init__(self, architecture: StudentArchitecture) -> None:
        super().__init__(architecture, plugs=_plugs(architecture))


def _plugs(architecture: StudentArchitecture) -> EncoderPlugs:
    def block_plugs(index: int) -> BlockPlugs:
        return BlockPlugs(before_block=StageMerge(architecture) if index == 0 else None)

    return EncoderPlugs(branch=ConvNextBranch(architecture), block=block_plugs)
