"""The residual network of SAM-UNet, and how its stages and the tokens meet.

Axis names used in this file:
    image, channel, row, column     of an image, a stage of the branch, or the token grid
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from .normalization import LayerNorm2d
from .sam_unet_config import FIRST_STAGE_STRIDE, SamUnetArchitecture

Stage = Float[Tensor, "image _ _ _"]


class ResidualBranch(nn.Module):
    """A ResNet without its classifier; weights of torchvision's fit block by block."""

    def __init__(self, architecture: SamUnetArchitecture) -> None:
        super().__init__()
        # torchvision takes a second to import, and no other model needs it.
        from torchvision.models.resnet import BasicBlock, Bottleneck  # noqa: PLC0415

        block = Bottleneck if architecture.branch_has_bottlenecks else BasicBlock
        before = architecture.branch_channels[0]
        self.stages = nn.ModuleList([_stem(before)])
        for index, (num_blocks, channels) in enumerate(
            zip(architecture.branch_blocks, architecture.branch_channels, strict=True)
        ):
            after = channels * block.expansion
            stride = 1 if index == 0 else 2
            shortcut = None
            if stride != 1 or before != after:
                shortcut = nn.Sequential(
                    nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
                )
            first = block(before, channels, stride=stride, downsample=shortcut)
            others = [block(after, channels) for _ in range(num_blocks - 1)]
            self.stages.append(nn.Sequential(first, *others))
            before = after
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "image 3 row column"]) -> list[Stage]:
        """Return the features of every stage after the stem, finest first."""
        found = [images]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return found[2:]


class Reshaper(nn.Module):
    """Bring one stage of the branch onto the token grid and to the tokens' width."""

    def __init__(self, architecture: SamUnetArchitecture, *, stage: int) -> None:
        """Set up the layers for the stage of this index, 0 being the finest."""
        super().__init__()
        self.stage = stage
        expansion = 4 if architecture.branch_has_bottlenecks else 1
        channels = architecture.branch_channels[stage] * expansion
        halvings = int(math.log2(architecture.patch_stride / (FIRST_STAGE_STRIDE << stage)))
        self.layers = nn.Sequential()
        for _ in range(abs(halvings)):
            after = channels * 2 if halvings > 0 else channels // 2
            self.layers.append(
                nn.Conv2d(channels, after, 3, stride=2, padding=1)
                if halvings > 0
                else nn.ConvTranspose2d(channels, after, 2, stride=2)
            )
            self.layers.extend((LayerNorm2d(after), nn.GELU()))
            channels = after
        self.layers.append(nn.Conv2d(channels, architecture.width, 1))

    def forward(self, stages: Sequence[Stage]) -> Float[Tensor, "image row column channel"]:
        """Return what is added to the tokens."""
        return self.layers(stages[self.stage]).permute(0, 2, 3, 1)


class FourfoldUpscaling(nn.Sequential):
    """Double the grid twice, each time with fewer channels."""

    def __init__(self, in_channels: int, *, hidden_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, hidden_channels, 2, stride=2),
            LayerNorm2d(hidden_channels),
            nn.GELU(),
            nn.ConvTranspose2d(hidden_channels, out_channels, 2, stride=2),
        )


def _stem(channels: int) -> nn.Sequential:
    """Return what quarters the image's grid before the first stage."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
