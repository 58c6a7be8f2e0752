"""Worker processes of a loader: started from a fork server, deaf to signals, ended by their parent.

A fork server is a process that imports torch once and has neither threads, file systems nor a CUDA
context to inherit. A plain fork of a training process would copy all of these in whatever state
they are: s3fs refuses to work then, OpenMP and gRPC may hang. A spawned worker imports torch again.

The signals of a preempted job reach every process of it, and the training step under way still
needs its data. So server and workers hold these signals back, and a worker ends when its parent
says so or is no more (a fork server does not do that for a parent that was killed).
"""

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext

_HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_PARENT_CHECK_SECONDS = 2.0


def fork_server(*, preload: list[str]) -> ForkServerContext:
    """Return the context to start workers from; the first call starts its server.

    Args:
        preload: Modules that the server imports, once for all workers.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *preload])
    # A new process inherits the signal mask. Starting the tracker ends with unblocking signals, so
    # it comes first and for itself.
    for start in (resource_tracker.ensure_running, forkserver.ensure_running):
        held_back_before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        try:
            start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back_before)
    return context


def prepare_worker(_worker_id: int) -> None:
    """Make this worker outlive a job's signals, but not its parent (torch's `worker_init_fn`)."""
    if multiprocessing.parent_process() is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the parent terminates this process, or is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while parent.is_alive():
        received = signal.sigtimedwait({signal.SIGTERM}, _PARENT_CHECK_SECONDS)
        if received is not None and received.si_pid == parent.pid:
            break
    os._exit(0)
