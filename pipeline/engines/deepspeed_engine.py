"""DeepSpeed's ZeRO: each rank keeps a part of the moments, of the gradients, of the weights.

Importing this file imports DeepSpeed, which takes seconds. It is called directly, on the process
group that torch has: Accelerate's own way to it takes the optimizer's step within the backward
pass, where it cannot be refused any more, and on CPUs makes every rank the main one of one.

DeepSpeed keeps the float32 weights it is given. Bfloat16 is the training step's autocast, so a run
computes the same under every engine, and every checkpoint holds float32.
"""

import contextlib
import copy
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import deepspeed
import deepspeed.ops
import torch
from deepspeed.utils import (
    safe_get_full_optimizer_state,
    safe_set_full_optimizer_state,
    safe_set_local_optimizer_state,
)
from torch import Tensor, nn
from torch.optim import Optimizer

from model import Segmenter
from pipeline.batches import TrainingBatch
from pipeline.optimizer import MOMENTS, check_state, set_learning_rate, trainable_parameters
from pipeline.train_step import LossTerms, TrainingStep

LARGEST_BUCKET = 50_000_000
"""Gradients that are reduced at once, in elements: 200 MB. DeepSpeed's own 500 million would set
2 GB aside on every rank."""

LARGEST_WHOLE_WEIGHT = 10_000
"""Elements of a weight that stage 3 leaves whole: biases, norms and tokens cost more to fetch than
to keep, and some modules read those of others before these are called."""

UNPARTITIONED_SHARE = 0.75
"""A rank of several that keeps moments for more of the weights than this has not partitioned."""


class DeepSpeedEngine:
    """An `Engine` of ZeRO stage 1, 2 or 3."""

    def __init__(
        self,
        module: TrainingStep,
        optimizer: Optimizer,
        *,
        stage: int,
        device: torch.device,
        clip_gradient_norm: float | None,
    ) -> None:
        """Partition a training step, whose weights have their first values (collective).

        Raises:
            RuntimeError: DeepSpeed did not partition what it should.
        """
        self._stage = stage
        self._device = device
        self._adam = optimizer
        self._segmenter = module.segmenter
        self._weights = trainable_parameters(module.segmenter)
        num_weights = sum(weight.numel() for weight in self._weights.values())
        # Of partitioned weights, one plain copy on the host is what a rank looks at the model by.
        self._copy = copy.deepcopy(module.segmenter).cpu() if stage == 3 else None
        _quieten()
        self._engine, *_ = deepspeed.initialize(
            model=_TensorFirst(module.to(device)),
            optimizer=optimizer,
            config=_settings(stage, num_weights=num_weights, clip_gradient_norm=clip_gradient_norm),
        )
        self._zero: Any = self._engine.optimizer
        self._refuse_whole_partition(num_weights)
        self._start_moments()
        for weight in self._zero_persistent:
            # Or they would be parted within the first step, while modules are still being counted.
            weight.is_external_param = True
        if self._zero_persistent:
            # DeepSpeed does so after every step, but not before the first.
            self._zero_persistent[0].all_gather(self._zero_persistent)

    def accumulate(self, batch: TrainingBatch, *, is_last: bool) -> LossTerms:
        """Take a micro-batch forward and backward."""
        self._engine.set_gradient_accumulation_boundary(is_last)
        total, terms = self._engine(batch)
        self._engine.backward(total)
        return terms

    def step(self, *, learning_rate: float) -> float:
        """Clip, move the weights, drop the gradients; return the norm before clipping."""
        set_learning_rate(self._adam, learning_rate=learning_rate)
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return math.inf if self._zero.overflow or norm is None else float(norm)

    def weight_parts(self) -> dict[str, Tensor]:
        """Return the trainable weights; under stage 3 flat slices of them, the last one padded."""
        return {
            name: (weight.ds_tensor if self._stage == 3 else weight).detach()  # type: ignore[attr-defined]
            for name, weight in self._weights.items()
        }

    def parts_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors; under stage 3 this rank's slices of them."""
        if self._stage < 3:
            return dict(tensors)
        return {name: self._slice(whole) for name, whole in tensors.items()}

    def joined(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors; under stage 3 put together from all slices."""
        if self._stage < 3:
            return dict(parts)
        return {name: self._join(part, like=self._weights[name]) for name, part in parts.items()}

    @contextlib.contextmanager
    def whole(self) -> Iterator[Segmenter]:
        """Lend the segmenter that trains; under stage 3 a copy of it, on this rank's device."""
        if self._copy is None:
            yield self._segmenter
            return
        self._fill_copy(self._copy)
        yield self._copy.to(self._device)
        self._copy.cpu()

    def optimizer_state(self) -> dict[str, Tensor]:
        """Return moments and step counts on the host of rank 0, and nothing on the others."""
        (step,) = {float(state["step"]) for state in self._adam.state.values()}
        state: dict[str, Tensor] = {}
        for name, weight in self._weights.items():
            for key in MOMENTS:
                whole = safe_get_full_optimizer_state(weight, key)
                assert whole is not None
                if torch.distributed.get_rank() == 0:
                    state[f"{name}.{key}"] = whole.cpu()
            state[f"{name}.step"] = torch.tensor(step)
        return state

    def load_optimizer_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over moments and step counts."""
        check_state(tensors, names=self._weights)
        if not tensors:
            return
        step = self._common_step(tensors)
        for state in self._adam.state.values():
            state["step"].fill_(step)
        for name, weight in self._weights.items():
            for key in MOMENTS:
                whole = tensors[f"{name}.{key}"].to(self._device)
                if self._stage < 3:
                    safe_set_full_optimizer_state(weight, whole, key)
                else:
                    safe_set_local_optimizer_state(weight, self._slice(whole), key)

    def _start_moments(self) -> None:
        """Make the moments as AdamW would at its first step.

        DeepSpeed ties weights to moments while the first group steps, and never finds those of the
        other groups. Made and tied now, they can be loaded, and all of them can be saved.
        """
        for partition in self._partitions:
            self._adam.state[partition] = {
                "step": torch.tensor(0.0),
                **{key: torch.zeros_like(partition) for key in MOMENTS},
            }
        if self._stage < 3:
            self._zero._lazy_init_hp_params_optimizer_state()

    @property
    def _partitions(self) -> list[Tensor]:
        """The flat tensors that the optimizer of this rank moves."""
        if self._stage < 3:
            return self._zero.single_partition_of_fp32_groups
        return self._zero.fp32_partitioned_groups_flat

    @property
    def _zero_persistent(self) -> list[Any]:
        return self._zero.persistent_parameters if self._stage == 3 else []

    def _refuse_whole_partition(self, num_weights: int) -> None:
        own = sum(partition.numel() for partition in self._partitions)
        if torch.distributed.get_world_size() > 1 and own > UNPARTITIONED_SHARE * num_weights:
            raise RuntimeError(
                f"ZeRO-{self._stage} was asked for, but this rank keeps the optimizer's state of "
                f"{own} of {num_weights} weights: DeepSpeed did not partition it. Use DDP "
                "(launchers/accelerate/), or another version of deepspeed."
            )

    def _fill_copy(self, whole: Segmenter) -> None:
        for mine, theirs in zip(self._segmenter.parameters(), whole.parameters(), strict=True):
            # One that is whole already would be partitioned at the end of the `with`.
            with deepspeed.zero.GatheredParameters([mine], enabled=mine.numel() == 0):
                theirs.data.copy_(mine.detach())
        for mine, theirs in zip(self._segmenter.buffers(), whole.buffers(), strict=True):
            theirs.copy_(mine)
        whole.train(self._segmenter.training)

    def _slice(self, whole: Tensor) -> Tensor:
        num_ranks, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        length = -(-whole.numel() // num_ranks)
        padded = whole.new_zeros(num_ranks * length)
        padded[: whole.numel()] = whole.flatten()
        return padded[rank * length : (rank + 1) * length].to(self._device)

    def _join(self, part: Tensor, *, like: nn.Parameter) -> Tensor:
        shape: torch.Size = like.ds_shape  # type: ignore[attr-defined]
        slices = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(slices, part.contiguous())
        return torch.cat(slices)[: shape.numel()].view(shape)

    def _common_step(self, tensors: Mapping[str, Tensor]) -> float:
        steps = {float(tensors[f"{name}.step"]) for name in self._weights}
        if len(steps) > 1:
            raise ValueError(
                f"The saved optimizer state counts {sorted(steps)} steps for different weights, "
                "which partitions cannot keep apart. Resume it with DDP."
            )
        return steps.pop()


class _TensorFirst(nn.Module):
    """A training step that returns its loss beside its terms.

    DeepSpeed learns that a backward pass begins by tensors in what the module returns; it looks for
    them in tuples, not in a dataclass.
    """

    def __init__(self, module: TrainingStep) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, LossTerms]:
        terms = self.module(batch)
        return terms.total, terms


def _quieten() -> None:
    """Keep DeepSpeed from compiling, and from saying what is no news."""
    # Else it would compile a kernel for CPU ranks of one machine; gloo serves them as well.
    deepspeed.ops.__compatible_ops__ = {}  # type: ignore[attr-defined]
    # Our modules return dataclasses, which its hooks need not look into.
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # Torch renames collectives that DeepSpeed calls by the hundred.
    warnings.filterwarnings("ignore", message=r".*torch\.distributed\.\w+_tensor. is deprecated")


def _settings(stage: int, *, num_weights: int, clip_gradient_norm: float | None) -> dict[str, Any]:
    return {
        # The size of micro-batches is ours to know; DeepSpeed only prints with it.
        "train_micro_batch_size_per_gpu": 1,
        # The loss is scaled for the whole step already: see `TrainingStep`.
        "gradient_accumulation_steps": 1,
        "gradient_clipping": clip_gradient_norm or 0.0,
        "zero_optimization": {
            "stage": stage,
            "reduce_bucket_size": min(LARGEST_BUCKET, num_weights),
            "stage3_param_persistence_threshold": LARGEST_WHOLE_WEIGHT,
        },
        # Torch's AdamW, so that nothing is compiled.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
