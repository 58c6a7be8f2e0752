"""The processes that train together: start-up checks, and the few collectives a run needs."""

import logging
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedType,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
    patch_environment,
)
from torch import Tensor
from torch.optim import Optimizer

from evaluation import OtherRankError

from .config import RunConfig
from .engines.engine import Engine
from .engines.launch_request import (
    RankFacts,
    describe_places,
    read_launch_request,
    refuse_mismatch,
)
from .engines.torch_engine import TorchEngine
from .seeding import make_deterministic
from .train_step import TrainingStep

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)

_BACKENDS = {
    DistributedType.NO: None,
    DistributedType.MULTI_CPU: "gloo",
    DistributedType.MULTI_GPU: "NCCL",
}


class ProcessGroup:
    """All ranks of a run. A method marked collective must be called by every rank."""

    def __init__(self, accelerator: Accelerator, *, zero_stage: int = 0) -> None:
        """Hold on to the ranks that found each other.

        Args:
            accelerator: Has joined them.
            zero_stage: Of DeepSpeed; 0 is DDP, or one process.
        """
        self._accelerator = accelerator
        self._zero_stage = zero_stage
        self.rank = accelerator.process_index
        self.num_ranks = accelerator.num_processes
        self.is_main = accelerator.process_index == 0
        self.device = accelerator.device

    @property
    def engine(self) -> str:
        """What reduces the gradients and moves the weights."""
        backend = _BACKENDS[self._accelerator.distributed_type]
        if backend is None:
            return "one process"
        return f"{f'ZeRO-{self._zero_stage}' if self._zero_stage else 'DDP'} over {backend}"

    def wrap(
        self, module: TrainingStep, optimizer: Optimizer, *, clip_gradient_norm: float | None
    ) -> Engine:
        """Hand a training step and its optimizer to the engine (collective).

        Raises:
            RuntimeError: The engine is not what it should be.
        """
        if self._zero_stage:
            os.environ.setdefault("DS_ACCELERATOR", self.device.type)  # else it guesses, and warns
            from .engines.deepspeed_engine import DeepSpeedEngine  # noqa: PLC0415 -- takes seconds

            return DeepSpeedEngine(
                module,
                optimizer,
                stage=self._zero_stage,
                device=self.device,
                clip_gradient_norm=clip_gradient_norm,
            )
        return TorchEngine(
            module,
            optimizer,
            accelerator=self._accelerator,
            clip_gradient_norm=clip_gradient_norm,
        )

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


def leave_process_group() -> None:
    """Leave the group if this process is in one, before Python ends.

    Threads of gloo that outlive Python now and then abort the process, which then seems to have
    failed (pytorch issue 190489). Not for a process that failed: what it began with others may
    never end.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def start_process_group(config: RunConfig, *, precision: str) -> ProcessGroup:
    """Join the ranks that a launcher started (collective), on GPUs where there are any.

    Args:
        config: What the user asked for.
        precision: `precision`, to compare with what the launcher was told.

    Raises:
        RuntimeError: Processes, engine or devices are not those that were asked for.
        ValueError: The launcher was told what is the run's to say.
    """
    request = read_launch_request(os.environ, precision=precision)
    # Accelerate joins the ranks and no more: under its own DeepSpeed mode, ranks on CPUs do not
    # find each other. Autocast is the training step's business, so that engines compute the same.
    with patch_environment(accelerate_use_deepspeed="false"):
        accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision="no",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_timeout(config))],
        )
    if accelerator.distributed_type not in _BACKENDS:
        raise RuntimeError(
            f"The launcher chose the engine {accelerator.distributed_type.value}; supported are "
            "one process, DDP and DeepSpeed. Use a file of launchers/accelerate/."
        )
    group = ProcessGroup(accelerator, zero_stage=request.zero_stage)
    ranks = group.gather(_facts_of(group))
    refuse_mismatch(request, ranks, run=config)
    if group.is_main:
        _logger.info("%s: %s.", group.engine, describe_places(ranks))
    return group


def set_up_process(config: RunConfig, *, group: ProcessGroup) -> None:
    """Set threads and determinism, and let rank 0 alone talk."""
    torch.set_num_threads(config.threads or _fair_share_of_cores())
    make_deterministic()
    if not group.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    _logger.info("%d torch threads in each process.", torch.get_num_threads())


def _timeout(config: RunConfig) -> timedelta:
    """Return how long a collective may wait.

    Accelerate drops a value that equals its own default, and gloo would then wait for half an hour:
    a microsecond keeps them apart.
    """
    return timedelta(seconds=config.collective_timeout_seconds, microseconds=1)


def _facts_of(group: ProcessGroup) -> RankFacts:
    return RankFacts(
        rank=group.rank,
        num_ranks=group.num_ranks,
        host=socket.gethostname(),
        device=group.device.type,
    )


def _fair_share_of_cores() -> int:
    """Return the cores that this process may use, divided by the ranks on this machine."""
    num_local_ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # Not every system can pin a process to cores.
    has_affinity = hasattr(os, "sched_getaffinity")
    num_cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, num_cores // num_local_ranks)
