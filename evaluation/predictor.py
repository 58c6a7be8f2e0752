"""What an evaluation asks of a model, whatever it runs on; no torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from .image_prompt import ImagePrompt


@dataclass(frozen=True, kw_only=True)
class CategoryAnswers:
    """What an automatic model says about one image, in the order of its categories."""

    logits: np.ndarray
    """Float, "category row column"."""

    presence_logits: np.ndarray | None = None
    """Float, "category": whether it is in the image at all; None for a model that does not say.
    The logits heed it already: what is called absent has an empty mask."""


@runtime_checkable
class Predictor(Protocol):
    """What an evaluation asks of a model, whatever it runs on.

    Logits are resized to the original grid by the predictor and thresholded once, at 0, by whoever
    asked for them.
    """

    @property
    def is_automatic(self) -> bool:
        """Whether the model takes no prompts and answers by category."""
        ...

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of an automatic model, in the order of its answers; else empty."""
        ...

    def predict(
        self, images: Sequence[np.ndarray], prompts: Sequence[Sequence[ImagePrompt]]
    ) -> list[np.ndarray]:
        """Return float logits "prompt row column" for each image; each image is encoded once."""
        ...

    def predict_automatic(self, images: Sequence[np.ndarray]) -> list[CategoryAnswers]:
        """Return what there is to say about the categories of each image."""
        ...


class NonFiniteLogitsError(ValueError):
    """A model answered with NaN or infinity, which thresholding would take for a miss or a hit."""


def threshold_logits(logits: np.ndarray, *, image: str, model: str) -> np.ndarray:
    """Return the bool masks of logits: cut once, at 0.

    Args:
        logits: What a predictor answers about one image.
        image: What the image is called, for the error.
        model: What the model is called, for the error.

    Raises:
        NonFiniteLogitsError: Some of the logits are no numbers to cut.
    """
    num_unusable = int(logits.size - np.isfinite(logits).sum())
    if num_unusable:
        raise NonFiniteLogitsError(
            f"{image}: {num_unusable} of the {logits.size} logits that {model} answers with are "
            "NaN or infinite, so there is no mask to take from them. Use precision=float32 if it "
            "was not; else the weights are damaged: take another checkpoint."
        )
    return logits > 0
