"""What ends a run at its next step boundary: Ctrl-C, SIGTERM, SIGUSR2, a launcher that died."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""SIGUSR2 is what a scheduler sends ahead of the end; NCCL uses SIGUSR1 itself."""


_LAUNCHER_VARIABLES = {"TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION"}
"""What torchrun and `accelerate launch` set in the environment of every process they start."""

_SECONDS_BETWEEN_LOOKS = 0.5


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
        # Noted first: the next signal may come while this one is being told.
        before, self.number = self.number, number
        if not before:
            _logger.warning(
                "%s: the run ends after this step and saves.", signal.Signals(number).name
            )


@contextmanager
def watch_stop_signals(*, launcher: int | None = None) -> Iterator[StopSignal]:
    """Catch the stop signals for the length of a `with`, and give them back afterwards.

    Under `accelerate launch` and `torchrun` the end of the launcher counts as SIGTERM: a launcher
    that is killed leaves its trainers running, and nobody would ever stop them. Off the main
    thread, where Python allows no handlers, no signal is caught.

    Args:
        launcher: The parent of this process when it started; None takes the one that it has now.
    """
    stop = StopSignal()
    if _LAUNCHER_VARIABLES & os.environ.keys():
        arguments = (stop, os.getppid() if launcher is None else launcher)
        threading.Thread(target=_outlive_no_launcher, args=arguments, daemon=True).start()
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


def _outlive_no_launcher(stop: StopSignal, launcher: int) -> None:
    """Wait until this process has another parent than its launcher, then ask it to stop."""
    while os.getppid() == launcher:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    _logger.warning("The launcher is gone: the run ends after this step and saves.")
    stop.number = stop.number or signal.SIGTERM


def exit_code_of(number: int) -> int:
    """Return the exit code of a run that a signal has ended, as shells write it: 128 + number."""
    return 128 + number


def describe_signal(number: int) -> str:
    """Return how a run was stopped, in words."""
    return "Interrupted" if number == signal.SIGINT else f"Stopped by {signal.Signals(number).name}"
