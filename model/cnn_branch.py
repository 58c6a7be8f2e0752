"""The convolutional branch of SAMUS, which sees the details that patches blur."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .config import BranchNorm
from .normalization import LayerNorm2d


class ConvolutionStage(nn.Module):
    """A 3 x 3 convolution, a norm and GELU."""

    def __init__(
        self, *, in_channels: int, out_channels: int, normalisation: BranchNorm = "layer"
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        # Groups of one channel are instance norm, which itself refuses an empty batch.
        is_layer = normalisation == "layer"
        self.norm = (
            LayerNorm2d(out_channels) if is_layer else nn.GroupNorm(out_channels, out_channels)
        )
        self.activation = nn.GELU()

    def forward(
        self, features: Float[Tensor, "image in_channel row column"]
    ) -> Float[Tensor, "image out_channel row column"]:
        """Return new features on the same grid."""
        return self.activation(self.norm(self.convolution(features)))


class CnnBranch(nn.Module):
    """Convolutions that halve the image until it lies on the token grid."""

    def __init__(
        self, *, channels: Sequence[int], width: int, normalisation: BranchNorm = "layer"
    ) -> None:
        """Set up one stage per entry of `channels` and a last one of `width` channels."""
        super().__init__()
        widths = [3, *channels, width]
        self.stages = nn.ModuleList(
            ConvolutionStage(in_channels=before, out_channels=after, normalisation=normalisation)
            for before, after in pairwise(widths)
        )
        self.halve = nn.MaxPool2d(2)

    def forward(
        self, images: Float[Tensor, "image 3 row column"]
    ) -> list[Float[Tensor, "image _ _ _"]]:
        """Return the features of every stage, from the image's own grid to the token grid."""
        features = images.contiguous(memory_format=torch.channels_last)
        stages = []
        for index, stage in enumerate(self.stages):
            features = stage(self.halve(features) if index else features)
            stages.append(features)
        return stages
