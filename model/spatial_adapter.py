"""The adapter of SAM-Med2D, which sees the neighbours of a token.

Axis names used in this file:
    image, row, column, channel     of the token grid
"""

from jaxtyping import Float
from torch import Tensor, nn


class SpatialAdapter(nn.Module):
    """A gate for every channel, then two convolutions over half the grid, and a layer norm."""

    def __init__(self, *, width: int, ratio: float, starts_at_zero: bool = False) -> None:
        """Set up the layers.

        Args:
            width: Channels of a token.
            ratio: Hidden channels of the gate, as a multiple of `width`.
            starts_at_zero: Let the norm return zero at first; the convolutions learn from the
                second step on.
        """
        super().__init__()
        hidden = int(width * ratio)
        self.channel_gate = nn.Sequential(
            nn.Linear(width, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, width, bias=False),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )
        self.norm = nn.LayerNorm(width)
        for layer in (*self.channel_gate, *self.spatial):
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(layer.weight)
        if starts_at_zero:
            nn.init.zeros_(self.norm.weight)

    def forward(
        self, tokens: Float[Tensor, "image row column channel"]
    ) -> Float[Tensor, "image row column channel"]:
        """Return the correction alone; the caller adds it beside the MLP."""
        gate = self.channel_gate(tokens.mean(dim=(1, 2)))
        gated = tokens * gate[:, None, None, :]
        mixed = self.spatial(gated.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.norm(tokens + mixed)
