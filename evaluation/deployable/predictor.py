"""A deployable folder as a predictor, so that it is evaluated as any other model. No torch here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.image_prompt import ImagePrompt
from evaluation.predictor import CategoryAnswers

from .predict import Prompt, Segmenter


class DeployablePredictor:
    """Answers with the ONNX graphs of a folder, one image at a time."""

    def __init__(
        self, folder: Path, *, form: str | None = None, num_threads: int | None = None
    ) -> None:
        """Open the folder.

        Args:
            folder: What `export_deployable` wrote.
            form: float32, int8 or float16; None takes the folder's first.
            num_threads: Threads of a prediction; None leaves it to onnxruntime.

        Raises:
            ValueError: The folder is damaged, or of a newer format.
            FileNotFoundError: The folder or a file of it is missing.
        """
        self.segmenter = Segmenter(folder, form=form, num_threads=num_threads)
        self._threshold = float(self.segmenter.preprocessing["threshold_logit"])

    @property
    def is_automatic(self) -> bool:
        """Whether the model takes no prompts and answers by category."""
        return self.segmenter.preprocessing["kind"] == "automatic"

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of an automatic model, in the order of its answers; else empty."""
        return tuple(self.segmenter.preprocessing["categories"]) if self.is_automatic else ()

    def predict(
        self, images: Sequence[np.ndarray], prompts: Sequence[Sequence[ImagePrompt]]
    ) -> list[np.ndarray]:
        """Return logits "prompt row column" for each image, such that 0 is the threshold."""
        return [
            self._answer(image, questions) for image, questions in zip(images, prompts, strict=True)
        ]

    def predict_automatic(self, images: Sequence[np.ndarray]) -> list[CategoryAnswers]:
        """Return what there is to say about the categories of each image."""
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> CategoryAnswers:
        logits, presence = self.segmenter.category_logits(image)
        judges = self.segmenter.preprocessing["judges_presence"]
        return CategoryAnswers(
            logits=logits - np.float32(self._threshold),
            presence_logits=presence if judges else None,
        )

    def _answer(self, image: np.ndarray, questions: Sequence[ImagePrompt]) -> np.ndarray:
        if not questions:
            return np.empty((0, *image.shape[:2]), dtype=np.float32)
        prompts = [_prompt_of(question) for question in questions]
        return self.segmenter.logits(image, prompts=prompts) - np.float32(self._threshold)


def _prompt_of(question: ImagePrompt) -> Prompt:
    return Prompt(points=question.points, labels=question.point_labels, box=question.box)
