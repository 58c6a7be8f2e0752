"""SAM's two-way transformer, with a mask for tokens that are not there.

Parameter names are those of `segment_anything.modeling.transformer`.

Axis names used in this file:
    prompt   one question about one image
    token    output and prompt tokens of one prompt
    cell     cells of the image embedding, row-major
    query, key   whichever of both attends, and is attended to
"""

from jaxtyping import Bool, Float
from segment_anything.modeling.common import MLPBlock
from torch import Tensor, nn
from torch.nn import functional

Tokens = Float[Tensor, "prompt token channel"]
Cells = Float[Tensor, "prompt cell channel"]
TokenMask = Bool[Tensor, "prompt 1 1 token"]


class DownscaledAttention(nn.Module):
    """Attention whose heads share fewer channels than its input has."""

    def __init__(self, *, width: int, num_heads: int, downscale: int = 1) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width // downscale)
        self.k_proj = nn.Linear(width, width // downscale)
        self.v_proj = nn.Linear(width, width // downscale)
        self.out_proj = nn.Linear(width // downscale, width)

    def forward(
        self,
        queries: Float[Tensor, "prompt query channel"],
        keys: Float[Tensor, "prompt key channel"],
        values: Float[Tensor, "prompt key channel"],
        *,
        is_present: Bool[Tensor, "prompt 1 1 key"] | None = None,
    ) -> Float[Tensor, "prompt query channel"]:
        """Return what each query gathers from the keys that are present; None means all."""
        attended = functional.scaled_dot_product_attention(
            self._split(self.q_proj(queries)),
            self._split(self.k_proj(keys)),
            self._split(self.v_proj(values)),
            attn_mask=is_present,
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _split(
        self, tensor: Float[Tensor, "prompt token channel"]
    ) -> Float[Tensor, "prompt head token _"]:
        return tensor.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to each other and to the image, then the image attends to the tokens."""

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        mlp_width: int,
        is_first: bool,
        doubled_residual: bool = False,
    ) -> None:
        """Set up the layers.

        Args:
            width: Channels of a token.
            num_heads: Heads that share them.
            mlp_width: Hidden channels of the tokens' MLP.
            is_first: The first layer's tokens are their own positions, which it does not add.
            doubled_residual: Add the tokens to their MLP's output twice.
        """
        super().__init__()
        self.is_first = is_first
        self.mlp_residual = 2.0 if doubled_residual else 1.0
        self.self_attn = DownscaledAttention(width=width, num_heads=num_heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = DownscaledAttention(
            width=width, num_heads=num_heads, downscale=2
        )
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLPBlock(width, mlp_width, nn.ReLU)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = DownscaledAttention(
            width=width, num_heads=num_heads, downscale=2
        )

    def forward(
        self,
        tokens: Tokens,
        cells: Cells,
        *,
        token_positions: Tokens,
        cell_positions: Float[Tensor, "1 cell channel"],
        is_present: TokenMask,
    ) -> tuple[Tokens, Cells]:
        """Return tokens and image cells after each has seen the other."""
        if self.is_first:
            tokens = self.self_attn(tokens, tokens, tokens, is_present=is_present)
        else:
            placed = tokens + token_positions
            tokens = tokens + self.self_attn(placed, placed, tokens, is_present=is_present)
        tokens = self.norm1(tokens)
        placed_cells = cells + cell_positions
        tokens = self.norm2(
            tokens + self.cross_attn_token_to_image(tokens + token_positions, placed_cells, cells)
        )
        tokens = self.norm3(self.mlp_residual * tokens + self.mlp(tokens))
        cells = cells + self.cross_attn_image_to_token(
            placed_cells, tokens + token_positions, tokens, is_present=is_present
        )
        return tokens, self.norm4(cells)


class TwoWayTransformer(nn.Module):
    """Tokens and image embedding inform each other in turns."""

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        num_heads: int,
        mlp_width: int,
        doubled_residual: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(
                width=width,
                num_heads=num_heads,
                mlp_width=mlp_width,
                is_first=index == 0,
                doubled_residual=doubled_residual,
            )
            for index in range(depth)
        )
        self.final_attn_token_to_image = DownscaledAttention(
            width=width, num_heads=num_heads, downscale=2
        )
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(
        self,
        tokens: Tokens,
        cells: Cells,
        *,
        cell_positions: Float[Tensor, "1 cell channel"],
        is_present: TokenMask,
    ) -> tuple[Tokens, Cells]:
        """Return tokens and cells; a token that is not present is seen by nothing else."""
        positions = tokens
        for layer in self.layers:
            tokens, cells = layer(
                tokens,
                cells,
                token_positions=positions,
                cell_positions=cell_positions,
                is_present=is_present,
            )
        gathered = self.final_attn_token_to_image(tokens + positions, cells + cell_positions, cells)
        return self.norm_final_attn(tokens + gathered), cells
