"""Logits on the original grid from a segmenter.

Axis names used in this file:
    image        one image of a batch
    row, column  of the framed image or of the low-resolution mask
    channel      of the image; one for grey, three for colour
    prompt       one question about an image, or one category of an automatic model
    slot         one click or box corner
    candidate    one of several masks that answer the same prompt
"""

import contextlib
import operator
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from model import ABSENT, ImageFeatures, Prompts, Segmenter

from .image_prompt import ImagePrompt
from .predictor import CategoryAnswers

BOX_CORNER_LABELS = (2, 3)

Image = UInt8[np.ndarray, "_ _"] | UInt8[np.ndarray, "_ _ 3"]
"""Row, column, and channel where it is coloured; the images of a batch have sizes of their own."""

Precision = Literal["float32", "bfloat16"]


class SegmenterPredictor:
    """Answers prompts with a segmenter of this repository, a few images at a time."""

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 8,
        precision: Precision = "float32",
    ) -> None:
        """Put the segmenter on the device and into evaluation mode.

        Args:
            segmenter: The model; its training mode is restored by nobody.
            device: Where it runs.
            batch_size: Images encoded at once. Sums are taken in another order for another
                batch size, so logits agree to rounding and a pixel at the threshold may flip.
            precision: `bfloat16` runs under autocast; logits are float32 either way.
        """
        self.segmenter = segmenter.to(device).eval()
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.precision = precision
        self._encoded: tuple[Sequence[Image], ImageFeatures] | None = None

    @property
    def is_automatic(self) -> bool:
        """Whether the model takes no prompts and answers by category."""
        return self.segmenter.is_automatic

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of an automatic model, in the order of its answers; else empty."""
        return tuple(self.segmenter.categories) if self.is_automatic else ()

    def predict(
        self, images: Sequence[Image], prompts: Sequence[Sequence[ImagePrompt]]
    ) -> list[np.ndarray]:
        """Return float logits "prompt row column" for each image.

        Args:
            images: uint8 images of any sizes, grey or RGB.
            prompts: The questions about each image; an image without any is not encoded.
        """
        asked = [index for index, questions in enumerate(prompts) if questions]
        answers = [np.empty((0, *image.shape[:2]), dtype=np.float32) for image in images]
        for start in range(0, len(asked), self.batch_size):
            batch = asked[start : start + self.batch_size]
            logits = self._decode([images[at] for at in batch], [prompts[at] for at in batch])
            for at, answer in zip(batch, logits, strict=True):
                answers[at] = answer
        return answers

    def predict_automatic(self, images: Sequence[Image]) -> list[CategoryAnswers]:
        """Return what there is to say about the categories of each image."""
        answers: list[CategoryAnswers] = []
        for start in range(0, len(images), self.batch_size):
            answers += self._answer_by_category(images[start : start + self.batch_size])
        return answers

    def _decode(
        self, images: Sequence[Image], prompts: Sequence[Sequence[ImagePrompt]]
    ) -> list[np.ndarray]:
        """Encode a batch once and answer all its prompts."""
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        with torch.inference_mode(), self._autocast():
            features = self._encode(images)
            framed = self._frame_prompts(prompts, sizes)
            self.segmenter.check_prompts(framed, features=features)
            prediction = self.segmenter.decode(features, framed.to(self.device))
        logits = _best_candidate(prediction.low_resolution_logits, prediction.predicted_iou)
        return self._unframe(logits.split([len(questions) for questions in prompts]), sizes)

    def _encode(self, images: Sequence[Image]) -> ImageFeatures:
        """Return the features of a batch; asked about again right away, it is not encoded again."""
        known = [] if self._encoded is None else self._encoded[0]
        is_known = len(known) == len(images) and all(map(operator.is_, known, images))
        if self._encoded is None or not is_known:
            self._encoded = images, self.segmenter.encode(self._frame(images))
        return self._encoded[1]

    def _answer_by_category(self, images: Sequence[Image]) -> list[CategoryAnswers]:
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        with torch.inference_mode(), self._autocast():
            prediction = self.segmenter(self._frame(images))
        logits = _best_candidate(prediction.low_resolution_logits, prediction.predicted_iou)
        by_image = self._unframe(logits.split(len(self.categories)), sizes)
        presence = prediction.presence_logits
        if presence is None:
            return [CategoryAnswers(logits=of_image) for of_image in by_image]
        judged = presence.float().view(len(images), -1).cpu().numpy()
        return [
            CategoryAnswers(logits=of_image, presence_logits=of_presence)
            for of_image, of_presence in zip(by_image, judged, strict=True)
        ]

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _frame(self, images: Sequence[Image]) -> Float[Tensor, "image channel row column"]:
        """Return the framed batch in [0, 1]; grey images become RGB beside RGB ones."""
        num_channels = 3 if any(image.ndim == 3 for image in images) else 1
        framed = [
            self.segmenter.framing.frame(image_to_tensor(image, num_channels=num_channels))
            for image in images
        ]
        return torch.stack(framed).to(self.device)

    def _frame_prompts(
        self, prompts: Sequence[Sequence[ImagePrompt]], sizes: Sequence[tuple[int, int]]
    ) -> Prompts:
        """Return all questions flat; boxes as their two corners, short ones filled up as absent."""
        slots = [[_slots_of(question) for question in questions] for questions in prompts]
        num_slots = max(len(labels) for image in slots for _, labels in image)
        points, labels = [], []
        for image, size in zip(slots, sizes, strict=True):
            for image_points, image_labels in image:
                absent = num_slots - len(image_labels)
                framed = self.segmenter.framing.frame_points(image_points, original_size=size)
                points.append(torch.nn.functional.pad(framed, (0, 0, 0, absent)))
                labels.append(torch.nn.functional.pad(image_labels, (0, absent), value=ABSENT))
        image_index = [at for at, questions in enumerate(prompts) for _ in questions]
        return Prompts(
            image_index=torch.tensor(image_index),
            points=torch.stack(points),
            point_labels=torch.stack(labels),
        )

    def _unframe(
        self,
        logits: Sequence[Float[Tensor, "_ row column"]],
        sizes: Sequence[tuple[int, int]],
    ) -> list[np.ndarray]:
        return [
            self.segmenter.framing.unframe(of_image.float(), original_size=size).cpu().numpy()
            for of_image, size in zip(logits, sizes, strict=True)
        ]


def image_to_tensor(image: Image, *, num_channels: int) -> Float[Tensor, "channel row column"]:
    """Return a uint8 image as floats in [0, 1]; grey is repeated for three channels."""
    pixels = torch.from_numpy(image.astype(np.float32)) / 255.0
    if image.ndim == 3:
        return pixels.permute(2, 0, 1).contiguous()
    return pixels[None].expand(num_channels, -1, -1).contiguous()


def _slots_of(
    prompt: ImagePrompt,
) -> tuple[Float[Tensor, "slot 2"], Int[Tensor, " slot"]]:
    """Return a prompt's clicks and box corners as labelled points, in the segmenter's pixels."""
    points, labels = list(prompt.points), list(prompt.point_labels)
    if prompt.box is not None:
        points += [prompt.box[:2], prompt.box[2:]]
        labels += BOX_CORNER_LABELS
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def _best_candidate(
    logits: Float[Tensor, "prompt candidate row column"],
    predicted_iou: Float[Tensor, "prompt candidate"] | None,
) -> Float[Tensor, "prompt row column"]:
    """Return the candidate that the model itself rates highest; the first where it rates none."""
    if logits.shape[1] == 1 or predicted_iou is None:
        return logits[:, 0]
    return logits[torch.arange(len(logits)), predicted_iou.argmax(dim=1)]
