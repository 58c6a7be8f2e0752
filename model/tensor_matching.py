"""Which tensor of a file goes where in a segmenter, and which fit after being resized."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from .attention import RelativePositions
from .detail_skip import DetailSkip
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
        elif _is_resizable(segmenter, name=name, tensor=tensor, target=target):
            values[name] = resize_relative_positions(tensor, num_distances=target.shape[0])
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


def is_added_to_sam(segmenter: Segmenter, *, name: str) -> bool:
    """Say whether a tensor belongs to what a variant adds, so that no file of SAM has it."""
    owners = _owners(segmenter, name=name)
    return any(isinstance(module, segmenter.added_to_sam) for module in owners)


def is_added_to_samus(segmenter: nn.Module, *, name: str) -> bool:
    """Say whether a tensor belongs to what this package adds to the published SAMUS."""
    return any(isinstance(module, DetailSkip) for module in _owners(segmenter, name=name))


def kind_of_owner(segmenter: Segmenter, *, name: str) -> str:
    """Return the type of the outermost added module that owns a tensor, for messages."""
    owners = _owners(segmenter, name=name)
    added = [module for module in owners if isinstance(module, segmenter.added_to_sam)]
    return type((added or owners[-1:])[0]).__name__


def _is_resizable(segmenter: nn.Module, *, name: str, tensor: Tensor, target: Tensor) -> bool:
    owner = _owners(segmenter, name=name)[-1]
    return (
        isinstance(owner, RelativePositions)
        and owner.is_global
        and tensor.ndim == target.ndim
        and tensor.shape[1:] == target.shape[1:]
    )


def _owners(segmenter: nn.Module, *, name: str) -> list[nn.Module]:
    """Return the modules around a tensor, from the segmenter inwards."""
    owners = [segmenter]
    for part in name.split(".")[:-1]:
        owners.append(owners[-1].get_submodule(part))
    return owners


def _shape(tensor: Tensor) -> str:
    return " x ".join(str(side) for side in tensor.shape) or "one number"
