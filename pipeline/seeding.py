"""Seeds of what still uses torch's global generator: first weights, and layers that draw."""

import torch

LARGEST_SEED = 2**63 - 1
"""What torch's generator takes."""


def seed_first_weights(seed: int) -> None:
    """Make the weights that are built next the same on every rank and in every run."""
    torch.manual_seed(seed)


def seed_step(seed: int, *, step: int, rank: int) -> None:
    """Make what a step draws depend on nothing but the run's seed, the step and the rank.

    So no random state is saved: a resumed step draws what the uninterrupted one would have drawn.
    """
    torch.manual_seed(((seed * 1_000_003 + step) * 65_537 + rank) % LARGEST_SEED)


def make_deterministic() -> None:
    """Ask torch for algorithms that give the same bits twice, and a warning where it has none."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cudnn.benchmark = False
