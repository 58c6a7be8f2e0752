"""Run by each rank of `benchmarks.scaling`: a pretraining whose exchanges are timed.

    torchrun --nproc_per_node 2 -m benchmarks.scaling_rank REPORT key=value ...

The run must save twice, after its first half and at its end: the second half counts.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.nn.parallel import DistributedDataParallel

from pipeline import PretrainConfig, load_config
from pipeline.pretraining import pretrain
from pipeline.process_group import ProcessGroup, leave_process_group
from pipeline.session import Session

NANOSECONDS = 1e9


class ExchangeClock:
    """Adds up the time that this rank spends in exchanges of its steps, saving left out."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._is_saving = False
        self._reducers: list[DistributedDataParallel] = []
        self._at_saves: list[tuple[float, float]] = []

    @property
    def seconds_of_second_half(self) -> float:
        """What exchanges took between the two saves, beside what the backward pass hides."""
        (first, reduction), (last, reduction_of_all) = self._at_saves
        return last - first + reduction_of_all - reduction

    def timing(self, exchange: Callable[..., Any]) -> Callable[..., Any]:
        """Return an exchange that is timed."""

        @functools.wraps(exchange)
        def timed(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 -- whatever it takes
            start = time.perf_counter()
            answer = exchange(*arguments, **keywords)
            if not self._is_saving:
                self._seconds += time.perf_counter() - start
            return answer

        return timed

    def marking(self, save: Callable[..., None]) -> Callable[..., None]:
        """Return a save that notes how far the clock is."""

        @functools.wraps(save)
        def marked(session: Session) -> None:
            self._at_saves.append((self._seconds, self._reduction_seconds(session.state.step)))
            self._is_saving = True
            save(session)
            self._is_saving = False

        return marked

    def watching(self, build: Callable[..., None]) -> Callable[..., None]:
        """Return the constructor of DDP, which then times every reduction itself."""

        @functools.wraps(build)
        def watched(reducer: DistributedDataParallel, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 -- whatever it takes
            build(reducer, *arguments, **keywords)
            reducer._set_ddp_runtime_logging_sample_rate(1)
            self._reducers.append(reducer)

        return watched

    def _reduction_seconds(self, num_steps: int) -> float:
        """Return what the reductions of so many steps took after their backward passes."""
        found = [reducer._get_ddp_logging_data() for reducer in self._reducers]
        return sum(
            num_steps
            * (one["avg_backward_comm_time"] - one["avg_backward_compute_comm_overlap_time"])
            / NANOSECONDS
            for one in found
        )


def main(words: list[str]) -> None:
    """Train, and let rank 0 write what the exchanges took."""
    clock = ExchangeClock()
    ProcessGroup.sum = clock.timing(ProcessGroup.sum)
    ProcessGroup.gather = clock.timing(ProcessGroup.gather)
    Session.save = clock.marking(Session.save)
    DistributedDataParallel.__init__ = clock.watching(DistributedDataParallel.__init__)
    config = load_config(PretrainConfig, words[1:])
    pretrain(config)
    leave_process_group()
    if os.environ.get("RANK", "0") == "0":
        seconds = clock.seconds_of_second_half / config.checkpoint.every_steps
        Path(words[0]).write_text(json.dumps({"communication_seconds_per_step": seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])
