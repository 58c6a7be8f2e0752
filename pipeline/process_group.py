"""The processes that train together: start-up checks, and the few collectives a run needs."""

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.optim import Optimizer

from .config import RunConfig
from .refusal import OtherRankError
from .seeding import make_deterministic

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)

_ENGINES = {
    DistributedType.NO: "one process",
    DistributedType.MULTI_CPU: "DDP over gloo",
    DistributedType.MULTI_GPU: "DDP over NCCL",
}


class ProcessGroup:
    """All ranks of a run. A method marked collective must be called by every rank."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.rank = accelerator.process_index
        self.num_ranks = accelerator.num_processes
        self.is_main = accelerator.process_index == 0
        self.device = accelerator.device

    @property
    def engine(self) -> str:
        """What reduces the gradients."""
        return _ENGINES[self._accelerator.distributed_type]

    def wrap(self, module: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Hand module and optimizer to the engine (collective).

        Only these two: a prepared loader loses samples, a prepared scheduler steps once per rank.
        """
        wrapped = self._accelerator.prepare(module, optimizer)
        return cast(tuple[nn.Module, Optimizer], wrapped)

    def backward(self, loss: Tensor) -> None:
        """Accumulate gradients; reduced over ranks unless inside `without_reduction`."""
        self._accelerator.backward(loss)

    def without_reduction(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Keep gradients local for the length of a `with`: all micro-batches but a step's last."""
        return self._accelerator.no_sync(module)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over ranks (collective); every rank gets the same bits."""
        if self.num_ranks == 1:
            return values
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    def gather(self, value: Result) -> list[Result]:
        """Return every rank's value, by rank, on every rank (collective)."""
        return gather_object([value]) if self.num_ranks > 1 else [value]

    def on_main(self, task: Callable[[], Result]) -> Result:
        """Run a task on rank 0 and return its result on every rank (collective).

        Raises:
            OtherRankError: On the other ranks, when the task raised on rank 0.
        """
        if self.num_ranks == 1:
            return task()
        answer: list[Any] = [False, None]
        try:
            if self.is_main:
                answer = [True, task()]
        finally:
            broadcast_object_list(answer, from_process=0)
        if not answer[0]:
            raise OtherRankError("Rank 0 stopped the run; its message says why.")
        return answer[1]

    def end(self) -> None:
        """Leave the group; the process may start another one afterwards."""
        self._accelerator.end_training()


def start_process_group(*, num_expected: int | None, precision: str) -> ProcessGroup:
    """Join the ranks that a launcher started, on GPUs where there are any, else on CPUs.

    Args:
        num_expected: `run.num_processes`; None takes any number.
        precision: `precision`, to compare with what the launcher was told.

    Raises:
        RuntimeError: Fewer or more processes than asked for, or an engine that is not supported.
        ValueError: The launcher was told another precision.
    """
    _check_launcher(os.environ, precision=precision)
    # Autocast is the training step's own business, so that every engine computes the same.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    if accelerator.distributed_type not in _ENGINES:
        raise RuntimeError(
            f"The launcher chose the engine {accelerator.distributed_type.value}; supported are "
            f"{', '.join(_ENGINES.values())}. Use a file of launchers/accelerate/."
        )
    found = accelerator.num_processes
    asked = {"the launcher": os.environ.get("WORLD_SIZE"), "run.num_processes": num_expected}
    for who, number in asked.items():
        if number is not None and int(number) != found:
            raise RuntimeError(
                f"{who} asks for {number} processes, {found} found each other. Check the "
                "--config_file of accelerate launch (launchers/accelerate/ has working ones)."
            )
    return ProcessGroup(accelerator)


def set_up_process(config: RunConfig, *, group: ProcessGroup) -> None:
    """Set threads and determinism, and let rank 0 alone talk."""
    torch.set_num_threads(config.threads or _fair_share_of_cores())
    make_deterministic()
    if not group.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    _logger.info(
        "%s, %d %s on %s, %d torch threads each.",
        group.engine,
        group.num_ranks,
        "rank" if group.num_ranks == 1 else "ranks",
        group.device.type,
        torch.get_num_threads(),
    )


def _fair_share_of_cores() -> int:
    """Return the cores that this process may use, divided by the ranks on this machine."""
    num_local_ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # Not every system can pin a process to cores.
    has_affinity = hasattr(os, "sched_getaffinity")
    num_cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, num_cores // num_local_ranks)


def _check_launcher(environment: "os._Environ[str]", *, precision: str) -> None:
    if "MASTER_PORT" in environment and "WORLD_SIZE" not in environment:
        raise RuntimeError(
            "The launcher was asked for several processes and started one: accelerate does that "
            "with --cpu and with distributed_type MULTI_CPU. Use --config_file "
            "launchers/accelerate/two_cpu_processes.yaml, or torchrun --nproc_per_node 2."
        )
    told = environment.get("ACCELERATE_MIXED_PRECISION", "no")
    expected = {"no": "float32", "bf16": "bfloat16"}.get(told)
    if told != "no" and expected != precision:
        raise ValueError(
            f"accelerate launch was told mixed_precision={told}, the run precision={precision}. "
            "Leave it out of the launcher and set precision= alone."
        )
