"""What can go wrong in a run of two ranks, and how one is made to suffer it at a chosen point."""

import ctypes
import dataclasses
import itertools
import math
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUM_STEPS = 8
NOBODY = 65_534

KINDS = (
    *("SIGKILL", "SIGTERM", "SIGUSR2"),
    *("full disk", "read-only folder", "truncated checkpoint", "flipped byte"),
    *("NaN", "bad sample", "second run"),
)
SIGNALS = KINDS[:3]
DAMAGES = ("truncated checkpoint", "flipped byte")

_CHECKPOINT_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    victim: str
    """"rank 0", "rank 1" or "launcher"."""

    point: str
    """"step", "validation" or "checkpoint"."""

    number: int
    """Which step, which predicted batch of rank 0, which touch of a file under `checkpoints/`."""

    fraction: float
    """In [0, 1): how far into a step, a file or a corpus."""

    @property
    def place(self) -> str:
        """Where it strikes, in words."""
        if self.kind in ("second run", "bad sample"):
            return "from the start"
        where = {"step": "step", "validation": "validation batch", "checkpoint": "file operation"}
        return f"{self.victim}, {where[self.point]} {self.number}"


def draw_fault(seed: int) -> Fault:
    """Return a fault; ten seeds in a row give one of each kind."""
    generator = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    point, victim = "step", "rank 0"
    if kind in SIGNALS:
        point = generator.choice(["step", "validation", "checkpoint"])
        victim = generator.choice(["rank 0", "rank 1", "launcher"])
    elif kind == "full disk":
        point = "checkpoint"
    elif kind == "NaN":
        victim = generator.choice(["rank 0", "rank 1"])
    first = 5 if kind in DAMAGES else 1  # two checkpoints to choose from
    last = {"step": NUM_STEPS, "validation": 4, "checkpoint": 60}[point]
    number = generator.randint(first, last)
    return Fault(kind=kind, victim=victim, point=point, number=number, fraction=generator.random())


def inject(fault: Fault, *, folder: Path) -> None:
    """Prepare this rank; every rank calls it before it trains.

    Args:
        fault: What goes wrong.
        folder: Where ranks leave their process ids, and `fired` when it has happened.
    """
    rank = int(os.environ["RANK"])
    act = {
        **dict.fromkeys(SIGNALS, _signal_victim),
        **dict.fromkeys(DAMAGES, _stop_this_rank),
        "full disk": _fill_the_disk,
        "read-only folder": _take_rights_away,
    }.get(fault.kind)
    if rank == 0 and act is not None:
        _at_point(fault, lambda: _fire(fault, folder=folder, act=act))
    if fault.kind == "NaN" and fault.victim == f"rank {rank}":
        _poison_images(fault, folder=folder)
    if fault.kind == "second run":
        _slow_down()


def leave_process_ids(folder: Path) -> None:
    """Let others find this rank and its launcher."""
    (folder / f"rank {os.environ['RANK']}").write_text(str(os.getpid()))
    (folder / "launcher").write_text(str(os.getppid()))


def die_of_signals_alone() -> None:
    """Undo what torch asks the kernel for in forked ranks: a script's ranks outlive launchers."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, 0)


def _at_point(fault: Fault, act: Callable[[], None]) -> None:
    from evaluation import SegmenterPredictor  # noqa: PLC0415
    from pipeline.stepper import Stepper  # noqa: PLC0415

    if fault.point == "checkpoint":
        _at_file_operation(fault.number, act)
    elif fault.point == "validation":
        _before_call(SegmenterPredictor, "predict", number=fault.number, act=act)
    else:
        _before_call(Stepper, "take", number=fault.number, act=act)


def _before_call(owner: type, name: str, *, number: int, act: Callable[[], None]) -> None:
    original, calls = getattr(owner, name), itertools.count(1)

    def with_fault(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == number:
            act()
        return original(*arguments, **keywords)

    setattr(owner, name, with_fault)


def _at_file_operation(number: int, act: Callable[[], None]) -> None:
    operations = itertools.count(1)

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        touches = event in _CHECKPOINT_EVENTS and "/checkpoints/" in str(arguments[0])
        if touches and next(operations) == number:
            act()

    sys.addaudithook(look)


def _fire(fault: Fault, *, folder: Path, act: Callable[[Fault, Path], None]) -> None:
    (folder / "fired").touch()
    act(fault, folder)


def _signal_victim(fault: Fault, folder: Path) -> None:
    process = int((folder / fault.victim).read_text())
    number = signal.Signals[fault.kind]
    if fault.point == "step":  # somewhere within it
        threading.Timer(0.05 * fault.fraction, os.kill, (process, number)).start()
    else:
        os.kill(process, number)


def _stop_this_rank(fault: Fault, folder: Path) -> None:
    del fault, folder
    os.kill(os.getpid(), signal.SIGTERM)


def _fill_the_disk(fault: Fault, folder: Path) -> None:
    """Let no file grow beyond a size that the weights have: the same write fails half-way."""
    del folder
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000 + int(30_000 * fault.fraction), limits[1]))


def _take_rights_away(fault: Fault, folder: Path) -> None:
    """Close the checkpoints to this process; root would write to them whatever their mode."""
    del fault
    checkpoints = folder.parent / "nano" / "checkpoints"
    for path in (checkpoints.parent, *checkpoints.parent.iterdir()):
        path.chmod(0o777)
    checkpoints.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def _poison_images(fault: Fault, *, folder: Path) -> None:
    from pipeline.train_step import TrainingStep  # noqa: PLC0415

    original, calls = TrainingStep.forward, itertools.count(1)

    def forward(*arguments: Any, **keywords: Any) -> Any:
        step, batch = arguments
        if next(calls) == fault.number:
            (folder / "fired").touch()
            batch = dataclasses.replace(batch, images=batch.images * math.nan)
        return original(step, batch, **keywords)

    TrainingStep.forward = forward


def _slow_down() -> None:
    """Leave time for a second run to find this one at work."""
    from pipeline.stepper import Stepper  # noqa: PLC0415

    original = Stepper.take

    def take(*arguments: Any, **keywords: Any) -> Any:
        time.sleep(0.3)
        return original(*arguments, **keywords)

    Stepper.take = take
