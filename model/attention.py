"""Self-attention of SAM's vision transformer, over the whole grid or in windows.

The same function as the published code, computed without its waste: attention is fused, and the
padding of windows is never projected (the projection of a zero token is the bias, known once).

Axis names used in this file:
    image                       one image of the batch
    row, column                 of the token grid, or of a window
    window                      one window of one image, or one whole image in a global block
    head, token, channel        attention's own; a token is a cell of a window, row-major
    key_row, key_column         the cell that is attended to
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class RelativePositions(nn.Module):
    """Learned attention offsets by row distance and by column distance of query and key."""

    def __init__(self, *, grid_size: int, head_width: int, is_global: bool) -> None:
        super().__init__()
        self.is_global = is_global
        self.rows = nn.Parameter(torch.zeros(2 * grid_size - 1, head_width))
        self.columns = nn.Parameter(torch.zeros(2 * grid_size - 1, head_width))

    def forward(
        self, queries: Float[Tensor, "window head row column channel"]
    ) -> tuple[
        Float[Tensor, "window head row column key_row"],
        Float[Tensor, "window head row column key_column"],
    ]:
        """Return what the distance to each key row and key column adds to a query's scores."""
        cells = torch.arange(queries.shape[2], device=queries.device)
        distance = cells[:, None] - cells[None, :] + queries.shape[2] - 1
        by_row = torch.einsum("bnhwc,hkc->bnhwk", queries, self.rows[distance])
        by_column = torch.einsum("bnhwc,wkc->bnhwk", queries, self.columns[distance])
        return by_row, by_column


class SelfAttention(nn.Module):
    """Multi-head self-attention with decomposed relative positions, global or windowed."""

    def __init__(self, *, width: int, num_heads: int, grid_size: int, window_size: int) -> None:
        """Set up the projections.

        Args:
            width: Channels of a token.
            num_heads: Heads that share them.
            grid_size: Side of the whole grid, in cells.
            window_size: Side of a window, in cells; 0 attends over the whole grid.
        """
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_positions = RelativePositions(
            grid_size=window_size or grid_size,
            head_width=width // num_heads,
            is_global=window_size == 0,
        )

    def forward(
        self, tokens: Float[Tensor, "image row column channel"]
    ) -> Float[Tensor, "image row column channel"]:
        """Return what every token gathers from its window."""
        num_images, height, width, _ = tokens.shape
        if self.window_size == 0:
            attended = self._attend(self.qkv(tokens))
            return self.proj(attended)
        to_window, to_grid = _window_indices(
            (height, width), window_size=self.window_size, device=tokens.device
        )
        projected = _append_zero_token(tokens.flatten(1, 2))
        windows = self.qkv(projected).index_select(1, to_window)
        side = self.window_size
        attended = self._attend(windows.reshape(-1, side, side, windows.shape[-1]))
        attended = attended.reshape(num_images, -1, attended.shape[-1]).index_select(1, to_grid)
        return self.proj(attended).reshape(tokens.shape)

    def _attend(
        self, qkv: Float[Tensor, "window row column tripled"]
    ) -> Float[Tensor, "window row column channel"]:
        num_windows, height, width, tripled = qkv.shape
        split = qkv.reshape(num_windows, height * width, 3, self.num_heads, -1)
        queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)
        scale = queries.shape[-1] ** -0.5
        by_row, by_column = self.relative_positions(queries.unflatten(2, (height, width)) / scale)
        # A key's cell as two one-hot vectors picks its row's and its column's offset out of the
        # query's features: the same scores, without a bias of tokens x tokens in memory.
        queries = torch.cat([queries, by_row.flatten(2, 3), by_column.flatten(2, 3)], dim=-1)
        cell = _one_hot_cells(keys, height=height, width=width)
        keys = torch.cat([keys, cell.expand(*keys.shape[:2], -1, -1)], dim=-1)
        padded_values = functional.pad(values, (0, height + width))
        attended = functional.scaled_dot_product_attention(
            queries, keys, padded_values, scale=scale
        )[..., : values.shape[-1]]
        return attended.transpose(1, 2).reshape(num_windows, height, width, tripled // 3)


def _one_hot_cells(
    like: Float[Tensor, "*batch"], *, height: int, width: int
) -> Float[Tensor, "token place"]:
    """Return row and column of every token, in row-major order, as two one-hot vectors."""
    rows = torch.eye(height, dtype=like.dtype, device=like.device).repeat_interleave(width, 0)
    columns = torch.eye(width, dtype=like.dtype, device=like.device).repeat(height, 1)
    return torch.cat([rows, columns], dim=1)


def _append_zero_token(
    tokens: Float[Tensor, "image token channel"],
) -> Float[Tensor, "image token_and_padding channel"]:
    return functional.pad(tokens, (0, 0, 0, 1))


def _window_indices(
    grid: tuple[int, int], *, window_size: int, device: torch.device
) -> tuple[Int[Tensor, " slot"], Int[Tensor, " cell"]]:
    """Return for each slot of each window its cell of the grid, and for each cell its slot.

    Slots beyond the grid's right and lower edge name the cell after the last one.
    """
    height, width = grid
    num_rows = -(-height // window_size) * window_size
    num_columns = -(-width // window_size) * window_size
    cells = torch.arange(height * width, device=device).reshape(height, width)
    padded = functional.pad(
        cells, (0, num_columns - width, 0, num_rows - height), value=height * width
    )
    to_window = _cut_windows(padded, window_size=window_size)
    slots = torch.arange(num_rows * num_columns, device=device)
    in_window_order = slots.reshape(
        num_rows // window_size, num_columns // window_size, window_size, window_size
    )
    to_grid = in_window_order.permute(0, 2, 1, 3).reshape(num_rows, num_columns)
    return to_window, to_grid[:height, :width].reshape(-1)


def _cut_windows(cells: Int[Tensor, "row column"], *, window_size: int) -> Int[Tensor, " slot"]:
    blocks = cells.unflatten(1, (-1, window_size)).unflatten(0, (-1, window_size))
    return blocks.permute(0, 2, 1, 3).reshape(-1)
