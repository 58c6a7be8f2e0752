"""Fine features for the mask decoder: the embedding, sharpened by the branch's earlier stages.

Not in the published SAMUS. Its decoder enlarges each cell of the embedding by itself, so a small
model takes long to learn outlines from random weights; this is a U-Net's way up (Ronneberger et
al., arXiv 1505.04597), run once per image.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .cnn_branch import ConvolutionStage


class DetailSkip(nn.Module):
    """Doubles the embedding's grid twice, each time joining the branch's features of that grid."""

    def __init__(
        self, *, embedding_width: int, branch_channels: Sequence[int], out_channels: int
    ) -> None:
        """Set up the way up.

        Args:
            embedding_width: Channels of the embedding.
            branch_channels: Of the branch's stages before the token grid, finest first.
            out_channels: What the decoder reads masks from.
        """
        super().__init__()
        coarse, fine = branch_channels[-1], branch_channels[-2]
        self.ups = nn.ModuleList(
            (
                _Up(in_channels=embedding_width, skip_channels=coarse, out_channels=fine),
                _Up(in_channels=fine, skip_channels=fine, out_channels=fine // 2),
            )
        )
        self.readout = nn.Conv2d(fine // 2, out_channels, kernel_size=1)

    def forward(
        self,
        embedding: Float[Tensor, "image channel row column"],
        stages: Sequence[Float[Tensor, "image _ _ _"]],
    ) -> Float[Tensor, "image detail fine_row fine_column"]:
        """Return features on a grid four times as fine as the embedding's.

        Args:
            embedding: Of the encoder.
            stages: Of the branch, the last one on the token grid.
        """
        features = embedding
        for up, stage in zip(self.ups, (stages[-2], stages[-3]), strict=True):
            features = up(features, stage)
        return self.readout(features)


class _Up(nn.Module):
    """Doubles a grid, joins finer features, and mixes both."""

    def __init__(self, *, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.mix = nn.Sequential(
            ConvolutionStage(in_channels=out_channels + skip_channels, out_channels=out_channels),
            ConvolutionStage(in_channels=out_channels, out_channels=out_channels),
        )

    def forward(
        self,
        features: Float[Tensor, "image in_channel row column"],
        stage: Float[Tensor, "image skip_channel fine_row fine_column"],
    ) -> Float[Tensor, "image out_channel fine_row fine_column"]:
        """Return mixed features on the finer grid."""
        wide = functional.interpolate(self.narrow(features), scale_factor=2.0, mode="bilinear")
        return self.mix(torch.cat([wide, stage], dim=1))
