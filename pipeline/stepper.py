"""One optimizer step: micro-batches in, weights moved, or everything stopped and nothing moved."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .batches import TrainingBatch
from .config import PretrainConfig
from .ema import MovingAverage
from .engines.engine import Engine
from .optimizer import trainable_parameters
from .process_group import ProcessGroup
from .schedule import learning_rate_at
from .seeding import seed_step

_LISTED_AT_MOST = 10
"""Names in a message."""


class NonFiniteLossError(RuntimeError):
    """A loss or gradient is NaN or infinite; no rank has moved its weights."""


class NoGradientError(RuntimeError):
    """A trainable parameter is in no loss; no rank has moved its weights."""


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
    """Takes optimizer steps, whichever engine takes them."""

    def __init__(
        self,
        engine: Engine,
        *,
        config: PretrainConfig,
        group: ProcessGroup,
        average: MovingAverage | None,
        segmenter: nn.Module,
    ) -> None:
        """Hold on to what a step needs.

        Args:
            engine: Has the `TrainingStep` and its optimizer.
            config: Schedule and batch size.
            group: The ranks that step together.
            average: Follows the weights after every step, where it is kept.
            segmenter: The unwrapped model, to see that everything that trains gets a gradient.
        """
        self._engine = engine
        self._config = config
        self._group = group
        self._average = average
        self._segmenter = segmenter
        self._is_checked = False

    def take(self, micro_batches: Sequence[TrainingBatch], *, step: int) -> StepOutcome:
        """Take optimizer step `step`, counted from 0 (collective).

        Raises:
            NonFiniteLossError: On every rank, with the weights as they were.
            NoGradientError: At the first step, on every rank.
        """
        seed_step(self._config.run.seed, step=step, rank=self._group.rank)
        sums: Counter[str] = Counter()
        bad_keys: list[str] = []
        last = len(micro_batches) - 1
        with self._gradients_seen():
            for number, batch in enumerate(micro_batches):
                terms = self._engine.accumulate(
                    batch.to(self._group.device), is_last=number == last
                )
                local = {name: float(value) for name, value in terms.sums.items()}
                if not all(math.isfinite(value) for value in local.values()):
                    bad_keys += batch.keys
                sums.update(local)
                sums["num_masks"] += terms.num_masks
                sums["num_vanished_objects"] += batch.num_vanished_objects
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
        rate = learning_rate_at(
            step, config=self._config.optimizer, max_steps=self._config.run.max_steps
        )
        norm = self._engine.step(learning_rate=rate)
        if not math.isfinite(norm):
            everyone = [key for of_rank in self._group.gather(list(keys)) for key in of_rank]
            raise NonFiniteLossError(
                f"The gradient of step {step + 1} is not finite, though its loss is; its samples "
                f"are {', '.join(everyone)}. The weights are those of step {step}. Try "
                "precision=float32 or a lower optimizer.peak_learning_rate."
            )
        if self._average is not None:
            self._average.update(self._engine.weight_parts(), step=step)
        return norm, rate

    @contextlib.contextmanager
    def _gradients_seen(self) -> Iterator[None]:
        """Fail at the first step, and by name, where an engine would hang or leave weights out."""
        if self._is_checked:
            yield
            return
        self._is_checked = True
        trainable = trainable_parameters(self._segmenter)
        missing = set(trainable)
        hooks = [
            weight.register_hook(lambda _, name=name: missing.discard(name))
            for name, weight in trainable.items()
        ]
        yield
        for hook in hooks:
            hook.remove()
        if missing:
            raise NoGradientError(
                f"These parameters are trainable but get no gradient: {_listed(sorted(missing))}. "
                "In every batch, each has to be in the loss. Freeze them, or use them."
            )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED_AT_MOST
    return ", ".join(names[:_LISTED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
