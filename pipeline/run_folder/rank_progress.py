"""The last step of every rank, RUN/ranks/RANK.json, so that one that died or hangs has a name.

Every rank does the same things in the same order, so what each has begun can be counted, and a rank
with a lower count than the others is the one that they wait for.
"""

import contextlib
import dataclasses
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from pipeline.config import RunConfig
from pipeline.process_group import ProcessGroup
from pipeline.refusal import LOST_RANK, LostRankError, is_of_a_collective

SECONDS_BETWEEN_WRITES = 1.0

FOLDER = "ranks"

Phase = Literal["opening", "data", "forward", "backward", "agreement", "validation", "checkpoint"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SignOfLife:
    """What a rank was last seen doing."""

    rank: int
    host: str
    process: int
    step: int = 0
    """Optimizer steps taken."""

    phase: Phase = "opening"
    count: int = 0
    """Things begun since the start, of whatever kind; the same on all ranks that keep up."""

    time: float = 0.0
    """When it was begun, in seconds since the epoch."""

    def __str__(self) -> str:
        """Return who, where and what, in words."""
        since = time.strftime("%H:%M:%S", time.localtime(self.time))
        return (
            f"rank {self.rank} ({self.host}, process {self.process}): {self.phase} after step "
            f"{self.step}, since {since}"
        )


class RankProgress:
    """Notes what this rank does; a thread keeps it in the rank's file."""

    def __init__(self, run: Path, *, rank: int, num_ranks: int, timeout_seconds: float) -> None:
        """Begin with `opening`; nothing is written yet.

        Args:
            run: Folder of the run.
            rank: This one.
            num_ranks: All of them.
            timeout_seconds: `run.collective_timeout_seconds`.
        """
        self._folder = run / FOLDER
        self._num_ranks = num_ranks
        self._timeout_seconds = timeout_seconds
        self._noted = time.monotonic()
        self._written: SignOfLife | None = None
        self._sign = SignOfLife(
            rank=rank, host=socket.gethostname(), process=os.getpid(), time=time.time()
        )

    def note(self, phase: Phase, *, step: int | None = None) -> None:
        """Say what this rank turns to; costs microseconds."""
        self._noted = time.monotonic()
        self._sign = dataclasses.replace(
            self._sign,
            phase=phase,
            step=self._sign.step if step is None else step,
            count=self._sign.count + 1,
            time=time.time(),
        )

    def note_passes_of(self, module: nn.Module) -> None:
        """Tell forward from backward passes of a module, whatever engine wraps it."""
        module.register_forward_pre_hook(lambda *_: self.note("forward"))
        module.register_forward_hook(lambda *_: self.note("backward"))

    def keep(self, ended: threading.Event) -> None:
        """Write the rank's file until `ended`, and end the process when nothing moves any more."""
        while not ended.wait(SECONDS_BETWEEN_WRITES):
            self.write()
            # Only a rank that does not wait for others gets so far: their own time-out comes first.
            is_stuck = time.monotonic() - self._noted > 2 * self._timeout_seconds
            if is_stuck and self._num_ranks > 1:
                _logger.error("Nothing moves any more, so this process ends. %s", self.describe())
                os._exit(LOST_RANK)

    def write(self) -> None:
        """Write the file, whole or not at all, if there is something new."""
        sign = self._sign
        if sign == self._written:
            return
        path = self._folder / f"{sign.rank:05d}.json"
        with contextlib.suppress(OSError):  # a full disk must not end the watch
            path.with_suffix(".partial").write_text(json.dumps(dataclasses.asdict(sign)) + "\n")
            path.with_suffix(".partial").replace(path)
            self._written = sign

    def describe(self) -> str:
        """Return which ranks are behind the others, in words, once all have written."""
        time.sleep(2 * SECONDS_BETWEEN_WRITES)
        self.write()
        return describe_ranks(self._folder.parent, num_ranks=self._num_ranks)

    @contextmanager
    def naming_lost_ranks(self) -> Iterator[None]:
        """Turn the failure of a collective into an error that names the ranks that are behind.

        Raises:
            LostRankError: Another rank died, or hangs.
        """
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, LostRankError) or not is_of_a_collective(error):
                raise
            advice = (
                f"{self.describe()} Its own log says more. The same command goes on from the last "
                "checkpoint."
            )
            raise LostRankError.of(error, advice=advice) from error


@contextmanager
def kept_progress(run: Path, *, config: RunConfig, group: ProcessGroup) -> Iterator[RankProgress]:
    """Keep this rank's file up to date for the length of a `with`, entered together (collective).

    Raises:
        LostRankError: Another rank died, or hangs.
    """
    group.on_main(lambda: _empty(run / FOLDER))
    progress = RankProgress(
        run,
        rank=group.rank,
        num_ranks=group.num_ranks,
        timeout_seconds=config.collective_timeout_seconds,
    )
    ended = threading.Event()
    progress.write()
    watch = threading.Thread(target=progress.keep, args=(ended,), daemon=True)
    watch.start()
    try:
        with progress.naming_lost_ranks():
            yield progress
    finally:
        ended.set()
        watch.join()
        progress.write()


def describe_ranks(run: Path, *, num_ranks: int, since: float = 0.0) -> str:
    """Return which ranks are behind the others, in words; empty where no rank has written.

    Args:
        run: Folder of the run.
        num_ranks: All of them.
        since: What is older is of an earlier start, in seconds since the epoch.
    """
    signs = [one for one in read_signs(run, num_ranks=num_ranks) if one.time >= since]
    if not signs:
        return ""
    lowest, highest = min(one.count for one in signs), max(one.count for one in signs)
    if lowest == highest:
        return f"All ranks were last seen alike, such as {signs[0]}."
    behind = [str(one) for one in signs if one.count == lowest]
    ahead = next(one for one in signs if one.count == highest)
    more = f" and {len(behind) - 4} more" if len(behind) > 4 else ""
    return f"Behind the others is {'; '.join(behind[:4])}{more}. Ahead is {ahead}."


def read_signs(run: Path, *, num_ranks: int) -> list[SignOfLife]:
    """Return what the ranks were last seen doing; one that never wrote is left out."""
    signs: list[SignOfLife] = []
    for rank in range(num_ranks):
        with contextlib.suppress(OSError, json.JSONDecodeError, TypeError):
            content = (run / FOLDER / f"{rank:05d}.json").read_text(encoding="utf-8")
            signs.append(SignOfLife(**json.loads(content)))
    return signs


def _empty(folder: Path) -> None:
    """Forget the ranks of an earlier start: until they are written anew, they would be named."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
