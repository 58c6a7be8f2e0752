"""One optimizer step: micro-batches in, weights moved, or everything stopped and nothing moved."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from .batches import TrainingBatch
from .config import PretrainConfig
from .ema import MovingAverage
from .optimizer import set_learning_rate
from .process_group import ProcessGroup
from .schedule import learning_rate_at
from .seeding import seed_step


class NonFiniteLossError(RuntimeError):
    """A loss or gradient is NaN or infinite; no rank has moved its weights."""


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What an optimizer step did, the same on every rank."""

    losses: Mapping[str, float]
    """Terms of the loss, and `total`."""

    gradient_norm: float
    """Of all gradients together, before clipping."""

    learning_rate: float
    num_masks: int
    num_vanished_objects: int
    """Objects that were not asked about: framing and augmentation left too little of them."""


class Stepper:
    """Takes optimizer steps with a wrapped `TrainingStep`."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        *,
        config: PretrainConfig,
        group: ProcessGroup,
        average: MovingAverage | None,
        segmenter: nn.Module,
    ) -> None:
        """Hold on to what a step needs.

        Args:
            module: The `TrainingStep` as the engine wrapped it.
            optimizer: As the engine wrapped it.
            config: Schedule, clipping and batch size.
            group: The ranks that step together.
            average: Follows the weights after every step, where it is kept.
            segmenter: The unwrapped model, for the average.
        """
        self._module = module
        self._optimizer = optimizer
        self._config = config
        self._group = group
        self._average = average
        self._segmenter = segmenter
        self._parameters = [one for one in segmenter.parameters() if one.requires_grad]
        self._is_checked = False

    def take(self, micro_batches: Sequence[TrainingBatch], *, step: int) -> StepOutcome:
        """Take optimizer step `step`, counted from 0 (collective).

        Raises:
            NonFiniteLossError: On every rank, with the weights as they were.
        """
        seed_step(self._config.run.seed, step=step, rank=self._group.rank)
        self._optimizer.zero_grad(set_to_none=True)
        sums: Counter[str] = Counter()
        bad_keys: list[str] = []
        for batch, context in self._with_reduction_last(micro_batches):
            with context:
                terms = self._module(batch.to(self._group.device))
                self._group.backward(terms.total)
            local = {name: float(value) for name, value in terms.sums.items()}
            if not all(math.isfinite(value) for value in local.values()):
                bad_keys += batch.keys
            sums.update(local)
            sums["num_masks"] += terms.num_masks
            sums["num_vanished_objects"] += batch.num_vanished_objects
        self._check_gradients_exist()
        totals = self._add_up(sums, num_bad=len(bad_keys))
        self._refuse_non_finite(bad_keys, num_bad=int(totals.pop("num_bad")), step=step)
        num_masks, num_vanished = (
            int(totals.pop(name)) for name in ("num_masks", "num_vanished_objects")
        )
        norm, rate = self._move_weights(
            step, keys=[key for one in micro_batches for key in one.keys]
        )
        size = self._config.data.global_batch_size
        return StepOutcome(
            losses={name: value / size for name, value in totals.items()},
            gradient_norm=norm,
            learning_rate=rate,
            num_masks=num_masks,
            num_vanished_objects=num_vanished,
        )

    def _with_reduction_last(
        self, micro_batches: Sequence[TrainingBatch]
    ) -> Iterator[tuple[TrainingBatch, contextlib.AbstractContextManager[object]]]:
        """Pair each micro-batch with its context: gradients are reduced once, with the last."""
        for batch in micro_batches[:-1]:
            yield batch, self._group.without_reduction(self._module)
        yield micro_batches[-1], contextlib.nullcontext()

    def _add_up(self, sums: Mapping[str, float], *, num_bad: int) -> dict[str, float]:
        """Return the sums over the ranks (collective)."""
        names = [*sorted(sums), "num_bad"]
        numbers = [*(float(sums[name]) for name in names[:-1]), float(num_bad)]
        vector = torch.tensor(numbers, dtype=torch.float64, device=self._group.device)
        return dict(zip(names, self._group.sum(vector).tolist(), strict=True))

    def _refuse_non_finite(self, bad_keys: list[str], *, num_bad: int, step: int) -> None:
        if num_bad:
            keys = [key for of_rank in self._group.gather(bad_keys) for key in of_rank]
            raise NonFiniteLossError(
                f"The loss of step {step + 1} is not finite; it came from a micro-batch of the "
                f"samples {', '.join(keys)}. The weights are those of step {step}. Look at these "
                "samples, or lower optimizer.peak_learning_rate."
            )

    def _move_weights(self, step: int, *, keys: Sequence[str]) -> tuple[float, float]:
        clip = self._config.optimizer.clip_gradient_norm
        norm = float(nn.utils.clip_grad_norm_(self._parameters, math.inf if clip is None else clip))
        if not math.isfinite(norm):
            everyone = [key for of_rank in self._group.gather(list(keys)) for key in of_rank]
            raise NonFiniteLossError(
                f"The gradient of step {step + 1} is not finite, though its loss is; its samples "
                f"are {', '.join(everyone)}. The weights are those of step {step}. Try "
                "precision=float32 or a lower optimizer.peak_learning_rate."
            )
        rate = learning_rate_at(
            step, config=self._config.optimizer, max_steps=self._config.run.max_steps
        )
        set_learning_rate(self._optimizer, learning_rate=rate)
        self._optimizer.step()
        if self._average is not None:
            self._average.update(self._segmenter, step=step)
        return norm, rate

    def _check_gradients_exist(self) -> None:
        """Fail at the first step, and by name, where DDP would hang at the second."""
        if self._is_checked:
            return
        self._is_checked = True
        missing = [
            name
            for name, parameter in self._segmenter.named_parameters()
            if parameter.requires_grad and parameter.grad is None
        ]
        assert not missing, f"These parameters are trainable but get no gradient: {missing[:10]}"
