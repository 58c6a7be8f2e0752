"""What moves the weights: one interface, whichever engine stands behind it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from model import Segmenter
from pipeline.batches import TrainingBatch
from pipeline.train_step import LossTerms


class Engine(Protocol):
    """A `TrainingStep` and its optimizer, as all ranks take their steps together.

    Every method is collective, and names of weights are those of the unwrapped segmenter. A *part*
    is what this rank keeps of a tensor that belongs to a weight: all of it, unless the engine
    partitions the weights themselves.
    """

    def accumulate(self, batch: TrainingBatch, *, is_last: bool) -> LossTerms:
        """Take a micro-batch forward and backward.

        With the last one of a step, the gradients are reduced over the ranks.
        """
        ...

    def step(self, *, learning_rate: float) -> float:
        """Clip, move the weights, drop the gradients; return the norm of them all before clipping.

        The norm is that of the whole model and the same on every rank. Where it is not finite,
        no weight has moved.
        """
        ...

    def weight_parts(self) -> dict[str, Tensor]:
        """Return this rank's part of every trainable weight, as it is now."""
        ...

    def parts_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return this rank's part of tensors, each of the shape of the weight it is named after."""
        ...

    def joined(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors that all ranks' parts make up."""
        ...

    def whole(self) -> AbstractContextManager[Segmenter]:
        """Lend the segmenter with all its weights, to look at: to score, to draw, to save."""
        ...

    def optimizer_state(self) -> dict[str, Tensor]:
        """Return NAME.exp_avg, NAME.exp_avg_sq and NAME.step of all weights, whole.

        Only rank 0's answer counts; where it costs memory, the others get nothing.
        """
        ...

    def load_optimizer_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the state that `optimizer_state` returned, under whichever engine.

        Raises:
            ValueError: The tensors are not those of exactly these weights.
        """
        ...
