"""Signals that end a run at its next step boundary: Ctrl-C, SIGTERM, SIGUSR2."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""SIGUSR2 is what a scheduler sends ahead of the end; NCCL uses SIGUSR1 itself."""


class StopSignal:
    """Remembers the first signal that asked this process to stop."""

    def __init__(self) -> None:
        self.number = 0
        """The signal, or 0 as long as none came."""

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second Ctrl-C ends the process without saving."""
        del frame
        if number == signal.SIGINT and self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.number:
            _logger.warning(
                "%s: the run ends after this step and saves.", signal.Signals(number).name
            )
        self.number = number


@contextmanager
def watch_stop_signals() -> Iterator[StopSignal]:
    """Catch the stop signals for the length of a `with`, and give them back afterwards.

    Off the main thread, where Python allows no handlers, nothing is caught.
    """
    stop = StopSignal()
    before = {}
    try:
        for number in STOP_SIGNALS:
            try:
                before[number] = signal.signal(number, stop.receive)
            except ValueError:
                break
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code_of(number: int) -> int:
    """Return the exit code of a run that a signal has ended, as shells write it: 128 + number."""
    return 128 + number


def describe_signal(number: int) -> str:
    """Return how a run was stopped, in words."""
    return "Interrupted" if number == signal.SIGINT else f"Stopped by {signal.Signals(number).name}"
