"""The bottleneck that SAMUS puts into frozen layers."""

from jaxtyping import Float
from torch import Tensor, nn


class Adapter(nn.Module):
    """Two linear layers with few channels between them."""

    def __init__(self, *, width: int, ratio: float, scale: float = 1.0) -> None:
        """Set up the layers; `scale` multiplies what they return."""
        super().__init__()
        self.scale = scale
        self.down = nn.Linear(width, int(width * ratio))
        self.activation = nn.GELU()
        self.up = nn.Linear(int(width * ratio), width)

    def forward(self, tokens: Float[Tensor, "*batch channel"]) -> Float[Tensor, "*batch channel"]:
        """Return the correction alone; the caller adds it to what it corrects."""
        return self.scale * self.up(self.activation(self.down(tokens)))
