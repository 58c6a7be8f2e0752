"""What ranks want to happen at a step boundary, and how they agree on it."""

from dataclasses import dataclass

import torch

from .process_group import ProcessGroup


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What one rank wants, or what all have agreed on."""

    stop_signal: int = 0
    """Number of a signal that was received, or 0."""

    time_is_up: bool = False
    save_is_due: bool = False


def agree(wishes: Requests, *, group: ProcessGroup) -> Requests:
    """Return what any rank wants, alike on all, so that none waits alone (collective)."""
    flags = [wishes.stop_signal > 0, wishes.time_is_up, wishes.save_is_due]
    total = group.sum(torch.tensor(flags, dtype=torch.int64, device=group.device)).tolist()
    signalled, time_is_up, save_is_due = (number > 0 for number in total)
    stop_signal = max(group.gather(wishes.stop_signal)) if signalled else 0
    return Requests(stop_signal=stop_signal, time_is_up=time_is_up, save_is_due=save_is_due)
