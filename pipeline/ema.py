"""Exponential moving average of the trained weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """The average, by parameter name, of every trainable parameter of a module.

    Its warm-up, `(1 + step) / (10 + step)`, keeps the random first weights from staying in it.
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self._decay = decay
        self.values: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in _trainable(module)
        }

    @torch.no_grad()
    def update(self, module: nn.Module, *, step: int) -> None:
        """Move the average towards the weights that optimizer step `step` (from 0) has left."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in _trainable(module):
            self.values[name].lerp_(parameter.detach(), 1.0 - decay)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take the average over from a checkpoint, which must name the same parameters."""
        if values.keys() != self.values.keys():
            different = sorted(values.keys() ^ self.values.keys())
            raise ValueError(f"The saved moving average is of other parameters: {different[:5]}.")
        for name, value in values.items():
            self.values[name].copy_(value)

    @contextmanager
    def in_place_of(self, module: nn.Module) -> Iterator[None]:
        """Put the average into `module` for the length of a `with`, then the weights back."""
        kept = {name: parameter.detach().clone() for name, parameter in _trainable(module)}
        self._write(self.values, module)
        try:
            yield
        finally:
            self._write(kept, module)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor], module: nn.Module) -> None:
        for name, parameter in _trainable(module):
            parameter.copy_(values[name])


def _trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            yield name, parameter
