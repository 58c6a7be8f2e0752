"""Layer norm over the channels of an image tensor."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class LayerNorm2d(nn.LayerNorm):
    """Normalise the channel axis, the second one, of every pixel by itself.

    The result lies channels-last in memory, which is what the convolutions after it are fastest on.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__(num_channels, eps=1e-6)

    def forward(
        self,
        input: Float[Tensor, "image channel row column"],
    ) -> Float[Tensor, "image channel row column"]:
        """Return the normalised tensor."""
        normed = functional.layer_norm(
            input.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return normed.permute(0, 3, 1, 2)
