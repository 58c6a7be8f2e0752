"""What a run on many GPUs asks of its surroundings: how often to save, what the bucket must give.

Sources of the formulas:
    Young 1974   J. W. Young: A first order approximation to the optimum checkpoint interval.
                 Communications of the ACM 17 (9), 530-531.
    Daly 2006    J. T. Daly: A higher order estimate of the optimum checkpoint interval for restart
                 dumps. Future Generation Computer Systems 22 (3), 303-312.
Both take failures as independent of each other and equally likely at any time.
"""

import math
from dataclasses import dataclass

from .run_planning_config import RunPlanConfig

SECONDS_PER_DAY = 86_400
MEGABYTE = 1e6

_UNITS = (("days", SECONDS_PER_DAY), ("h", 3_600), ("min", 60))


def young_interval(*, save_seconds: float, seconds_between_failures: float) -> float:
    """Return the seconds of work between two checkpoints by Young 1974: sqrt(2 C M).

    Args:
        save_seconds: C, how long one checkpoint holds the run up.
        seconds_between_failures: M, their mean, of the whole run.
    """
    return math.sqrt(2 * save_seconds * seconds_between_failures)


def daly_interval(*, save_seconds: float, seconds_between_failures: float) -> float:
    """Return the same by Daly 2006, which holds where saving is no small part of M as well.

    sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + (C / 2M) / 9) - C where C < 2M, and M beyond that.
    """
    share = save_seconds / (2 * seconds_between_failures)
    if share >= 1:
        return seconds_between_failures
    young = young_interval(
        save_seconds=save_seconds, seconds_between_failures=seconds_between_failures
    )
    return young * (1 + math.sqrt(share) / 3 + share / 9) - save_seconds


def share_lost(
    *,
    interval_seconds: float,
    save_seconds: float,
    restart_seconds: float,
    seconds_between_failures: float,
) -> float:
    """Return the share of the time that saving, repeated steps and restarts take, in [0, 1).

    By the complete cost function of Daly 2006, in which one second of work takes
    M / tau e^(R / M) (e^((tau + C) / M) - 1) seconds, with tau the interval and R the restart.
    """
    mean = seconds_between_failures
    segment = math.expm1((interval_seconds + save_seconds) / mean)
    seconds_per_second = mean / interval_seconds * math.exp(restart_seconds / mean) * segment
    return 1 - 1 / seconds_per_second


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One row of the table."""

    num_gpus: int
    seconds_between_failures: float
    young_seconds: float
    daly_seconds: float

    steps_between_saves: int
    """Of Daly's interval: a value for `checkpoint.every_steps`."""

    share_lost: float
    """Of the time, at Daly's interval."""

    global_batch_size: int
    images_per_second: float
    """One request to the bucket each, as a sample is one range of a shard."""

    read_megabytes_per_second: float
    saved_megabytes_per_second: float
    """Mean over the interval; while it saves, rank 0 writes `checkpoint_bytes / save_seconds`."""


def plan_run(config: RunPlanConfig, *, num_gpus: int) -> RunPlan:
    """Return what a run on so many GPUs asks for."""
    between = config.gpu_days_between_failures * SECONDS_PER_DAY / num_gpus
    daly = daly_interval(save_seconds=config.save_seconds, seconds_between_failures=between)
    images_per_second = config.images_per_second * num_gpus
    step_seconds = config.micro_batch_size / config.images_per_second
    return RunPlan(
        num_gpus=num_gpus,
        seconds_between_failures=between,
        young_seconds=young_interval(
            save_seconds=config.save_seconds, seconds_between_failures=between
        ),
        daly_seconds=daly,
        steps_between_saves=max(1, round(daly / step_seconds)),
        share_lost=share_lost(
            interval_seconds=daly,
            save_seconds=config.save_seconds,
            restart_seconds=config.restart_seconds,
            seconds_between_failures=between,
        ),
        global_batch_size=config.micro_batch_size * num_gpus,
        images_per_second=images_per_second,
        read_megabytes_per_second=images_per_second * config.image_bytes / MEGABYTE,
        saved_megabytes_per_second=config.checkpoint_bytes
        / (daly + config.save_seconds)
        / MEGABYTE,
    )


def plan_table(config: RunPlanConfig) -> str:
    """Return a table in Markdown with a row for each of `config.gpus`."""
    headings = (
        "GPUs",
        "a failure every",
        "save every (Young)",
        "save every (Daly)",
        "in steps",
        "time lost",
        "global batch",
        "images/s = requests/s",
        "read from the bucket",
        "checkpoints, mean",
    )
    rows = [headings, ("---",) * len(headings)]
    for num_gpus in config.gpus:
        plan = plan_run(config, num_gpus=num_gpus)
        rows.append(
            (
                f"{plan.num_gpus:,}",
                duration(plan.seconds_between_failures),
                duration(plan.young_seconds),
                duration(plan.daly_seconds),
                f"{plan.steps_between_saves:,}",
                f"{100 * plan.share_lost:.2g} %",
                f"{plan.global_batch_size:,}",
                f"{plan.images_per_second:,.0f}",
                f"{plan.read_megabytes_per_second:,.0f} MB/s",
                f"{plan.saved_megabytes_per_second:.2g} MB/s",
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def duration(seconds: float) -> str:
    """Return a time in the largest unit of which it has one, with three digits."""
    for name, unit in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"
