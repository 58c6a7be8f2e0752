"""One process, or DDP: every rank keeps all weights, and gradients are averaged."""

import contextlib
import math
from collections.abc import Iterator, Mapping

from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from model import Segmenter
from pipeline.batches import TrainingBatch
from pipeline.optimizer import (
    load_optimizer_state,
    optimizer_state,
    set_learning_rate,
    trainable_parameters,
)
from pipeline.train_step import LossTerms, TrainingStep


class TorchEngine:
    """An `Engine` of torch itself."""

    def __init__(
        self,
        module: TrainingStep,
        optimizer: Optimizer,
        *,
        accelerator: Accelerator,
        clip_gradient_norm: float | None,
    ) -> None:
        """Wrap a training step (collective).

        Only the module is prepared: a prepared loader loses samples, a prepared scheduler steps
        once per rank.

        Raises:
            RuntimeError: There are several ranks, and nothing that averages their gradients.
        """
        self._accelerator = accelerator
        self._optimizer = optimizer
        self._segmenter = module.segmenter
        self._weights = trainable_parameters(module.segmenter)
        self._clip = math.inf if clip_gradient_norm is None else clip_gradient_norm
        self._step = accelerator.prepare(module)
        if accelerator.num_processes > 1 and not isinstance(self._step, DistributedDataParallel):
            raise RuntimeError(
                f"{accelerator.num_processes} ranks, but DDP is not what averages their gradients: "
                f"the step is a {type(self._step).__name__}. Start the run with a file of "
                "launchers/accelerate/."
            )

    def accumulate(self, batch: TrainingBatch, *, is_last: bool) -> LossTerms:
        """Take a micro-batch forward and backward."""
        alone = contextlib.nullcontext() if is_last else self._accelerator.no_sync(self._step)
        with alone:
            terms: LossTerms = self._step(batch)
            self._accelerator.backward(terms.total)
        return terms

    def step(self, *, learning_rate: float) -> float:
        """Clip, move the weights, drop the gradients; return the norm before clipping."""
        norm = float(nn.utils.clip_grad_norm_(self._weights.values(), self._clip))
        if math.isfinite(norm):
            set_learning_rate(self._optimizer, learning_rate=learning_rate)
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm

    def weight_parts(self) -> dict[str, Tensor]:
        """Return every trainable weight: all of it is this rank's."""
        return {name: weight.detach() for name, weight in self._weights.items()}

    def parts_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors as they are."""
        return dict(tensors)

    def joined(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors as they are."""
        return dict(parts)

    @contextlib.contextmanager
    def whole(self) -> Iterator[Segmenter]:
        """Lend the segmenter that trains."""
        yield self._segmenter

    def optimizer_state(self) -> dict[str, Tensor]:
        """Return moments and step counts, which every rank has."""
        return optimizer_state(self._optimizer, self._segmenter)

    def load_optimizer_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over moments and step counts."""
        load_optimizer_state(self._optimizer, self._segmenter, tensors=tensors)
