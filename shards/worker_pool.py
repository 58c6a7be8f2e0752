"""Worker processes of a command: spawned, deaf to Ctrl-C, and ended with the command.

Workers are spawned: they inherit neither the threads of s3fs nor an open archive, and a fork is
not safe everywhere.
"""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, Pipe
from typing import ParamSpec, TypeVar, cast

_Words = ParamSpec("_Words")
_Result = TypeVar("_Result")


@contextlib.contextmanager
def worker_pool(num_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of workers, which start when they are needed.

    They end at once when the block ends in an exception, or this process is gone.
    """
    # The type checker takes a pipe for that of Windows.
    leash, held_end = cast(tuple[Connection, Connection], Pipe(duplex=False))
    with leash, held_end, tempfile.TemporaryDirectory(prefix="samuspretrain-") as folder:
        # By itself and before any worker: its start ends with unblocking signals.
        resource_tracker.ensure_running()
        pool = _WorkerPool(
            num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
            initargs=(leash, folder),
        )
        try:
            yield pool
            pool.shutdown()
        finally:
            held_end.close()
            pool.shutdown(cancel_futures=True)


class _WorkerPool(ProcessPoolExecutor):
    """A pool whose workers start undisturbed."""

    def submit(
        self, fn: Callable[_Words, _Result], /, *args: _Words.args, **kwargs: _Words.kwargs
    ) -> Future[_Result]:
        """Hand a call in, which may start a worker."""
        with _interrupts_held_back():
            return super().submit(fn, *args, **kwargs)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C come afterwards: it would reach a worker before `_begin_worker` does.

    A process that is started meanwhile holds it back for good. Here any thread may receive it, and
    the main one would break off what it is doing.
    """
    received: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if is_main:
        signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if received:
            signal.raise_signal(signal.SIGINT)


def _begin_worker(leash: Connection, folder: str) -> None:
    """Keep this worker deaf to Ctrl-C, and end it at once when its owner lets go or is gone.

    Its temporary files lie in the owner's folder, which outlives it and is removed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = folder
    threading.Thread(target=_end_with_owner, args=(leash,), daemon=True).start()


def _end_with_owner(leash: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        leash.recv_bytes()
    os._exit(1)
