"""The images that are open in the demo: encoded once, asked about many times."""

import secrets
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.deployable.predict import Prompt, read_image
from evaluation.deployable.predictor import DeployablePredictor
from evaluation.predictor import threshold_logits
from evaluation.segmentation.input_files import open_frames
from evaluation.segmentation.mask_measurement import Measurement, measure_mask
from evaluation.segmentation.pixel_scale import PixelScale, scale_of

from .uploads import check_upload

MAX_IMAGES = 8
"""That many are kept; the one that was not used for longest is forgotten first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenImage:
    """One image, and all that a question about it needs."""

    pixels: np.ndarray
    scale: PixelScale
    features: dict[str, Any]
    """What the encoder made of it; empty for a model without prompts."""

    masks: dict[str, np.ndarray]
    """What a model without prompts found, by category; empty for others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundMask:
    """One mask of an answer."""

    name: str
    mask: np.ndarray
    measurement: Measurement


class DemoImages:
    """Opens images for a model and answers prompts about them, one at a time."""

    def __init__(self, predictor: DeployablePredictor) -> None:
        """Take the model; nothing is open yet."""
        self.predictor = predictor
        self._images: OrderedDict[str, OpenImage] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, content: bytes) -> str:
        """Decode and encode an image file, and return the token that it is known by.

        Raises:
            ValueError: The file is no image that the demo reads, or too large.
        """
        with self._lock:
            token = secrets.token_urlsafe(16)
            self._images[token] = self._encode(*_decode(content))
            while len(self._images) > MAX_IMAGES:
                self._images.popitem(last=False)
            return token

    def image(self, token: str) -> OpenImage:
        """Return an open image.

        Raises:
            KeyError: It was never opened, or forgotten since.
        """
        self._images.move_to_end(token)
        return self._images[token]

    def answer(self, token: str, *, prompt: Prompt) -> list[FoundMask]:
        """Return the mask of a prompt; a model without prompts returns all that it found.

        Raises:
            KeyError: The image was never opened, or forgotten since.
            ValueError: The prompt does not fit the image or the model.
        """
        with self._lock:
            image = self.image(token)
            masks = image.masks or {"mask": self._segment(image, prompt=prompt)}
        return [
            FoundMask(
                name=name,
                mask=mask,
                measurement=measure_mask(mask, spacing_millimetres=image.scale.under(mask)),
            )
            for name, mask in masks.items()
        ]

    def _encode(self, pixels: np.ndarray, scale: PixelScale) -> OpenImage:
        features, masks = {}, {}
        if self.predictor.is_automatic:
            logits = self.predictor.predict_automatic([pixels])[0].logits
            masks = dict(zip(self.predictor.categories, self._cut(logits), strict=True))
        else:
            features = self.predictor.segmenter.encode(pixels)
        return OpenImage(pixels=pixels, scale=scale, features=features, masks=masks)

    def _segment(self, image: OpenImage, *, prompt: Prompt) -> np.ndarray:
        segmenter = self.predictor.segmenter
        size = (image.pixels.shape[0], image.pixels.shape[1])
        questions = segmenter.frame_prompts([prompt], size)
        logits = segmenter.decode(image.features, questions, size)
        return self._cut(logits[0] - segmenter.preprocessing["threshold_logit"])

    def _cut(self, logits: np.ndarray) -> np.ndarray:
        return threshold_logits(logits, image="The image", model="the model")


def _decode(content: bytes) -> tuple[np.ndarray, PixelScale]:
    """Return the pixels of an uploaded file, and how large they are."""
    with tempfile.TemporaryDirectory(prefix="samuspretrain-demo-") as folder:
        path = Path(folder) / "upload"
        path.write_bytes(content)
        try:
            check_upload(content, path=path)
            opened = open_frames(path)
            return read_image(next(opened.frames)), scale_of(path, opened)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), "The file")) from error
