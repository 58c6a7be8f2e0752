"""How the tokens of SAMUS look at its convolutional branch."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class CrossBranchAttention(nn.Module):
    """Multi-head attention with queries from the tokens, keys and values from the branch."""

    def __init__(self, *, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.projection = nn.Linear(width, width)

    def forward(
        self,
        tokens: Float[Tensor, "image row column channel"],
        branch: Float[Tensor, "image channel row column"],
    ) -> Float[Tensor, "image row column channel"]:
        """Return what the tokens take over from the branch; the caller adds it."""
        branch = branch.permute(0, 2, 3, 1)
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(tokens)),
            self._split(self.key(branch)),
            self._split(self.value(branch)),
        )
        return self.projection(attended.transpose(1, 2).reshape(tokens.shape))

    def _split(
        self, tokens: Float[Tensor, "image row column channel"]
    ) -> Float[Tensor, "image head token _"]:
        return tokens.flatten(1, 2).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
