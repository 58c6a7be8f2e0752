"""What an evaluation asks of a model, whatever it runs on; no torch here."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from .image_prompt import ImagePrompt


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

    def predict_automatic(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return float logits "category row column" for each image."""
        ...
