"""Absolute positions of the tokens: SAM's table, and how SAMUS adapts it to another grid."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .cnn_branch import ConvolutionStage

Grid = Float[Tensor, "1 _ _ channel"]
"""Axes: one for all images, row, column, channel."""

Interpolation = Literal["bilinear", "bicubic"]


class PositionTable(nn.Module):
    """One learned vector per cell of the grid; a table of another size is interpolated."""

    def __init__(
        self, *, table_size: int, width: int, interpolation: Interpolation = "bilinear"
    ) -> None:
        super().__init__()
        self.table_size = table_size
        self.interpolation: Interpolation = interpolation
        self.weight = nn.Parameter(torch.empty(1, table_size, table_size, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, grid_size: int) -> Grid:
        """Return the positions of a square grid."""
        return resize_grid(self.weight, grid_size=grid_size, interpolation=self.interpolation)


class Positions(nn.Module):
    """SAM's table as it is; a variant's module in its place has a `table` as well."""

    def __init__(
        self, *, table_size: int, width: int, interpolation: Interpolation = "bilinear"
    ) -> None:
        super().__init__()
        self.table = PositionTable(table_size=table_size, width=width, interpolation=interpolation)

    def forward(self, grid_size: int) -> Grid:
        """Return the positions of a square grid."""
        return self.table(grid_size)


class PositionAdapter(nn.Module):
    """Halve the table and refine it by a convolution, as SAMUS does.

    The result depends on weights alone. In evaluation it is computed once and kept until a weight
    changes, moves or is loaded, or the module is put into training mode.
    """

    def __init__(self, *, table_size: int, width: int) -> None:
        super().__init__()
        self.table = PositionTable(table_size=table_size, width=width)
        self.refinement = ConvolutionStage(in_channels=width, out_channels=width)
        self._kept: Grid | None = None
        self._kept_for: tuple[object, ...] = ()
        self.register_load_state_dict_post_hook(_forget_kept)

    def forward(self, grid_size: int) -> Grid:
        """Return the positions of a square grid."""
        if self.training or torch.is_grad_enabled():
            return self._compute(grid_size)
        if torch.compiler.is_compiling():
            # An exported graph takes the kept result as a constant; there is no state to look at.
            return self._compute(grid_size) if self._kept is None else self._kept
        state = self._state(grid_size)
        if self._kept is None or self._kept_for != state:
            self._kept = self._compute(grid_size)
            self._kept_for = state
        return self._kept

    def train(self, mode: bool = True) -> "PositionAdapter":
        """Change the mode and forget the kept result."""
        self._kept = None
        return super().train(mode)

    def _compute(self, grid_size: int) -> Grid:
        table = self.table(self.table.table_size).permute(0, 3, 1, 2)
        refined = self.refinement(functional.max_pool2d(table, 2))
        return resize_grid(refined.permute(0, 2, 3, 1), grid_size=grid_size)

    def _state(self, grid_size: int) -> tuple[object, ...]:
        """Return what the kept result depends on, as far as it can change behind our back."""
        device = self.table.weight.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        weights = tuple(
            (weight.data_ptr(), -1 if weight.is_inference() else weight._version)
            for weight in self.parameters()
        )
        return grid_size, autocast, weights


def _forget_kept(adapter: nn.Module, _: object) -> None:
    assert isinstance(adapter, PositionAdapter)
    adapter._kept = None


def resize_grid(grid: Grid, *, grid_size: int, interpolation: Interpolation = "bilinear") -> Grid:
    """Interpolate a table to another size; the same size is returned as it is."""
    if grid.shape[1] == grid_size and grid.shape[2] == grid_size:
        return grid
    resized = functional.interpolate(
        grid.permute(0, 3, 1, 2), (grid_size, grid_size), mode=interpolation, align_corners=False
    )
    return resized.permute(0, 2, 3, 1)
