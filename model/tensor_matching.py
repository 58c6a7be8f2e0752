"""Which tensor of a file goes where in a segmenter, and which fit after being resized."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from .attention import RelativePositions
from .position_adapter import PositionAdapter, PositionTable, resize_grid
from .segmenter import Segmenter

NOT_IN_MODEL = "is not in this model"


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Where the tensors of a file go."""

    values: dict[str, Tensor]
    """By name in the segmenter, in the shape that it has there."""

    resized: tuple[str, ...]
    refused: dict[str, str]
    """By name, with the reason."""

    missing: tuple[str, ...]
    """Names in the segmenter that no tensor is for."""


def match_tensors(segmenter: nn.Module, tensors: Mapping[str, Tensor]) -> Matching:
    """Find a place for every tensor, by its name here, its shape and the module that owns it.

    Args:
        segmenter: Left as it is.
        tensors: By the names that they have in this package.
    """
    targets = segmenter.state_dict()
    values: dict[str, Tensor] = {}
    resized: list[str] = []
    refused: dict[str, str] = {}
    for name, tensor in tensors.items():
        target = targets.get(name)
        if target is None:
            refused[name] = NOT_IN_MODEL
        elif tensor.is_floating_point() != target.is_floating_point():
            refused[name] = f"holds {tensor.dtype}, here {target.dtype}"
        elif tensor.shape == target.shape:
            values[name] = tensor
        elif (fitted := _resized(segmenter, name=name, tensor=tensor, target=target)) is not None:
            values[name] = fitted
            resized.append(name)
        else:
            refused[name] = f"is {_shape(tensor)}, here {_shape(target)}"
    missing = tuple(name for name in targets if name not in values and name not in refused)
    return Matching(values=values, resized=tuple(resized), refused=refused, missing=missing)


def resize_relative_positions(positions: Tensor, *, num_distances: int) -> Tensor:
    """Interpolate the table of a global block linearly to another grid, as SAMUS was published.

    Args:
        positions: One row per distance between two cells, in order.
        num_distances: Twice the side of the new grid, less one.
    """
    table = positions.float()[None, None]
    size = (num_distances, positions.shape[1])
    return functional.interpolate(table, size, mode="bilinear", align_corners=False)[0, 0]


def is_added(segmenter: Segmenter, *, name: str, known: Collection[type[nn.Module]]) -> bool:
    """Say whether a tensor belongs to what the segmenter adds to the model that a file is of.

    Args:
        segmenter: Whose tensor it is.
        name: Of the tensor.
        known: Types that the file's model has added to SAM itself.
    """
    added = tuple(kind for kind in segmenter.added_to_sam if kind not in known)
    return any(isinstance(module, added) for module in _owners(segmenter, name=name))


def kind_of_owner(segmenter: Segmenter, *, name: str) -> str:
    """Return the type of the outermost added module that owns a tensor, for messages."""
    owners = _owners(segmenter, name=name)
    added = [module for module in owners if isinstance(module, segmenter.added_to_sam)]
    return type((added or owners[-1:])[0]).__name__


def _resized(segmenter: nn.Module, *, name: str, tensor: Tensor, target: Tensor) -> Tensor | None:
    """Return positions on the segmenter's own grid, if that is all that differs.

    Window blocks have the same windows on every grid, and what adapts SAM's table of positions
    takes it as it is.
    """
    owners = _owners(segmenter, name=name)
    if tensor.ndim != target.ndim or tensor.shape[-1] != target.shape[-1]:
        return None
    if isinstance(owners[-1], RelativePositions) and owners[-1].is_global:
        return resize_relative_positions(tensor, num_distances=target.shape[0])
    is_adapted = any(isinstance(owner, PositionAdapter) for owner in owners)
    if isinstance(owners[-1], PositionTable) and not is_adapted:
        return resize_grid(
            tensor.float(), grid_size=target.shape[1], interpolation=owners[-1].interpolation
        )
    return None


def _owners(segmenter: nn.Module, *, name: str) -> list[nn.Module]:
    """Return the modules around a tensor, from the segmenter inwards."""
    owners = [segmenter]
    for part in name.split(".")[:-1]:
        owners.append(owners[-1].get_submodule(part))
    return owners


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape) or "one number"
