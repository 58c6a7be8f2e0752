"""Two formulations are compared in speed only where they compute the same."""

import torch
from torch import Tensor

ROUNDING = {"float32": 1e-3, "bfloat16": 0.05}
"""Largest root mean square difference, as a share of the baseline's spread, that is rounding."""


def refuse_disagreement(label: str, *, ours: Tensor, published: Tensor, precision: str) -> None:
    """Raise unless what both computed is the same but for rounding; else a ratio means nothing.

    Args:
        label: What was computed.
        ours: Ours.
        published: The baseline's, of the same shape.
        precision: A key of `ROUNDING`.

    Raises:
        ValueError: They differ by more, or one of them is not finite.
    """
    difference = torch.linalg.vector_norm(ours.double() - published.double())
    spread = torch.linalg.vector_norm(published.double() - published.double().mean())
    share = (difference / spread).item()
    if not share <= ROUNDING[precision]:
        raise ValueError(
            f"{label}: ours differs from the published formulation by {share:.3g} of its spread; "
            f"{ROUNDING[precision]:g} is rounding. Different work is not compared: mend one of "
            "them first (tests/test_model/test_published_formulation.py)."
        )
