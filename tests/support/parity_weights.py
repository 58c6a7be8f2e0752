"""Weights and images that anyone can rebuild from names and seeds (see parity/README.md)."""

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Value = TypeVar("Value")


def weights_from_names(shapes: Path) -> dict[str, Tensor]:
    """Return the state dict that the published model's `NAME.shapes.json` describes."""
    table: dict[str, list[int]] = json.loads(shapes.read_text())
    return {
        name: torch.from_numpy(tensor_from_name(name, shape=tuple(shape)))
        for name, shape in table.items()
    }


def tensor_from_name(name: str, *, shape: tuple[int, ...]) -> np.ndarray:
    """Return one tensor, drawn from a generator that its own name seeds."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    normal = np.asarray(generator.standard_normal(shape)).astype(np.float32)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return 1 + np.float32(0.1) * np.abs(normal)
    if name.endswith("positional_encoding_gaussian_matrix"):
        return normal
    if len(shape) >= 2:
        return normal / np.float32(np.sqrt(np.prod(shape[1:])))
    if len(shape) == 1 and name.endswith("weight"):
        return 1 + np.float32(0.1) * normal
    return np.float32(0.1) * normal


def image_from_seed(seed: int, *, channels: int, size: int = 256) -> Tensor:
    """Return the fixture's image, in [0, 1], as `1 x channels x size x size`."""
    small = np.random.default_rng(seed).random((1, channels, 16, 16), dtype=np.float32)
    return torch.nn.functional.interpolate(
        torch.from_numpy(small), (size, size), mode="bilinear", align_corners=False
    )


def named_as_here(
    published: Mapping[str, Value], names: Sequence[tuple[str, str]], *, unused: Sequence[str] = ()
) -> dict[str, Value]:
    """Return what a variant's `PUBLISHED_NAMES` make of a published state dict."""
    found = {}
    for name, value in published.items():
        if not any(re.search(pattern, name) for pattern in unused):
            for pattern, replacement in names:
                name = re.sub(pattern, replacement, name)  # noqa: PLW2901 -- renamed step by step
            found[name] = value
    return found


def published_without_storage(shapes: Path) -> dict[str, Tensor]:
    """Return a published state dict that takes no memory."""
    return {
        name: torch.empty(
            shape,
            device="meta",
            dtype=torch.int64 if name.endswith("num_batches_tracked") else torch.float32,
        )
        for name, shape in published_shapes(shapes).items()
    }


def published_shapes(shapes: Path) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of a published state dict."""
    return {name: tuple(shape) for name, shape in json.loads(shapes.read_text()).items()}
