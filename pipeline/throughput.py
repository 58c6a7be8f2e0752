"""How fast the run is, and what it waits for, between two rows of the log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import torch

GIBIBYTE = 1024**3


class Throughput:
    """Counts images and masks, and the time in which they were trained on."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start counting; another clock is for tests."""
        self._clock = clock
        self._restart()

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Count the time inside the `with` as waiting."""
        start = self._clock()
        try:
            yield
        finally:
            self._seconds_waiting += self._clock() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside the `with` out: validation and checkpoints train nothing."""
        start = self._clock()
        try:
            yield
        finally:
            self._start += self._clock() - start

    def count(self, *, num_images: int, num_masks: int) -> None:
        """Add what one step trained on, over all ranks."""
        self._num_images += num_images
        self._num_masks += num_masks

    def take_rates(self) -> dict[str, float]:
        """Return the rates since the last call and begin anew."""
        seconds = max(self._clock() - self._start, 1e-9)
        rates = {
            "speed/images_per_second": self._num_images / seconds,
            "speed/masks_per_second": self._num_masks / seconds,
            "speed/share_waiting_for_data": min(self._seconds_waiting / seconds, 1.0),
        }
        self._restart()
        return rates

    def _restart(self) -> None:
        self._start = self._clock()
        self._seconds_waiting = 0.0
        self._num_images = 0
        self._num_masks = 0


def memory_in_use(device: torch.device) -> dict[str, float]:
    """Return memory in GiB: the process's, and the largest that the GPU has held so far."""
    memory = {"memory/process_gibibytes": psutil.Process().memory_info().rss / GIBIBYTE}
    if device.type == "cuda":
        memory["memory/gpu_peak_gibibytes"] = torch.cuda.max_memory_allocated(device) / GIBIBYTE
    return memory
