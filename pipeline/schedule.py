"""The learning rate, as a pure function of the step: nothing to save, nothing to resume."""

import math

from .config import OptimizerConfig


def learning_rate_at(step: int, *, config: OptimizerConfig, max_steps: int) -> float:
    """Return the learning rate of an optimizer step.

    Args:
        step: Steps already taken, so 0 for the first one. The first step of a warm-up is small but
            not zero, and the last one reaches the peak.
        config: Peak, warm-up and shape.
        max_steps: Where the cosine ends, and what milestones are fractions of; later steps keep the
            value they ended on.
    """
    peak = config.peak_learning_rate
    if step < config.warmup_steps:
        return peak * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return peak
    if config.schedule == "steps":
        passed = sum(step >= round(fraction * max_steps) for fraction in config.milestones)
        return peak * config.milestone_factor**passed
    progress = min((step - config.warmup_steps) / (max_steps - config.warmup_steps), 1.0)
    lowest = peak * config.final_fraction
    return lowest + (peak - lowest) * 0.5 * (1.0 + math.cos(math.pi * progress))
