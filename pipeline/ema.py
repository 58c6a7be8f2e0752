"""Exponential moving average of the trained weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """The average, by name, of this rank's part of every trainable weight (see `Engine`).

    Its warm-up, `(1 + step) / (10 + step)`, keeps the random first weights from staying in it.
    """

    def __init__(self, weights: Mapping[str, Tensor], *, decay: float) -> None:
        self._decay = decay
        self.values: dict[str, Tensor] = {name: one.clone() for name, one in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor], *, step: int) -> None:
        """Move the average towards the weights that optimizer step `step` (from 0) has left."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, weight in weights.items():
            self.values[name].lerp_(weight, 1.0 - decay)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take the average over from a checkpoint, which must name the same parameters."""
        if values.keys() != self.values.keys():
            different = sorted(values.keys() ^ self.values.keys())
            raise ValueError(f"The saved moving average is of other parameters: {different[:5]}.")
        for name, value in values.items():
            self.values[name].copy_(value)


@contextmanager
def weights_replaced(module: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Put `values` into the parameters of `module` for the length of a `with`, then these back."""
    parameters = dict(module.named_parameters())
    kept = {name: parameters[name].detach().clone() for name in values}
    _write(values, parameters)
    try:
        yield
    finally:
        _write(kept, parameters)


@torch.no_grad()
def _write(values: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
    for name, value in values.items():
        parameters[name].copy_(value)
