"""What the branch's earlier stages add to the mask: a U-Net's way up from the decoder's cells.

Not in the published SAMUS. Its decoder enlarges each cell of the embedding by itself, and learns
where a click lies through attention alone: from random weights a small model takes long for both.
This way up (Ronneberger et al., arXiv 1505.04597), walked for every prompt, sees the prompt as maps
(as Sofiiuk et al., arXiv 2102.06583, give clicks to a network) and its logits join the decoder's.

Axis names used in this file:
    prompt           questions about images, in any order
    channel, row, column   of a grid whose cells share the framed image's side
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .prompt_maps import NUM_PROMPT_MAPS, prompt_maps
from .prompts import Prompts

NUM_HALVINGS = 2
"""Of the cells' grid, before the way up."""


class DetailSkip(nn.Module):
    """A small U-Net over the decoder's cells, which ends on a grid four times as fine."""

    def __init__(self, *, embedding_width: int, branch_channels: Sequence[int]) -> None:
        """Set up the way up.

        Args:
            embedding_width: Channels of the decoder's cells.
            branch_channels: Of the branch's stages before the token grid, finest first.
        """
        super().__init__()
        width, coarse, fine = embedding_width, branch_channels[-1], branch_channels[-2]
        self.start = _mix_twice(width + NUM_PROMPT_MAPS, width)
        self.downs = nn.ModuleList(_mix_twice(width, width) for _ in range(NUM_HALVINGS))
        self.inner_ups = nn.ModuleList(
            _Up(width, skip_channels=width, out_channels=width) for _ in range(NUM_HALVINGS)
        )
        self.outer_ups = nn.ModuleList(
            (
                _Up(width, skip_channels=coarse + NUM_PROMPT_MAPS, out_channels=fine),
                _Up(fine, skip_channels=fine + NUM_PROMPT_MAPS, out_channels=fine // 2),
            )
        )
        self.readout = nn.Conv2d(fine // 2, 1, kernel_size=1)

    def forward(
        self,
        cells: Float[Tensor, "prompt channel row column"],
        stages: Sequence[Float[Tensor, "prompt _ _ _"]],
        *,
        prompts: Prompts,
        input_size: int,
    ) -> Float[Tensor, "prompt 1 fine_row fine_column"]:
        """Return mask logits on a grid four times as fine as the cells'.

        Args:
            cells: Of the decoder, after the tokens were attended to.
            stages: Of the branch on grids twice and four times as fine, of each prompt's image.
            prompts: What is asked; drawn as maps.
            input_size: Side of the framed image, in pixels.
        """
        maps = prompt_maps(prompts, grid_size=cells.shape[-1], input_size=input_size)
        features = self.start(torch.cat([cells, maps], dim=1))
        seen = []
        for down in self.downs:
            seen.append(features)
            features = down(functional.max_pool2d(features, 2))
        for up in self.inner_ups:
            features = up(features, seen.pop())
        for up, stage in zip(self.outer_ups, stages, strict=True):
            maps = prompt_maps(prompts, grid_size=stage.shape[-1], input_size=input_size)
            features = up(features, torch.cat([stage, maps], dim=1))
        return self.readout(features)


class _Mix(nn.Sequential):
    """A 3 x 3 convolution, instance norm as U-Nets have it, and leaky ReLU.

    Groups of one channel are instance norm, which itself refuses a batch without prompts.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(out_channels, out_channels),
            nn.LeakyReLU(0.1),
        )


def _mix_twice(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_Mix(in_channels, out_channels), _Mix(out_channels, out_channels))


class _Up(nn.Module):
    """Doubles a grid, joins finer features, and mixes both."""

    def __init__(self, in_channels: int, *, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.mix = _mix_twice(out_channels + skip_channels, out_channels)

    def forward(
        self,
        features: Float[Tensor, "prompt in_channel row column"],
        stage: Float[Tensor, "prompt skip_channel fine_row fine_column"],
    ) -> Float[Tensor, "prompt out_channel fine_row fine_column"]:
        """Return mixed features on the finer grid."""
        wide = functional.interpolate(self.narrow(features), scale_factor=2.0, mode="bilinear")
        return self.mix(torch.cat([wide, stage], dim=1))
