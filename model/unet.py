"""MONAI's BasicUNet as an automatic segmenter: the task-specific yardstick.

Axis names used in this file:
    image, channel, row, column    of the framed batch
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from .config import UnetArchitecture
from .prompts import ImageFeatures, MaskPrediction, Prompts
from .segmenter import Segmenter


class UnetSegmenter(Segmenter):
    """One mask per category of every image, without prompts."""

    is_automatic: ClassVar[bool] = True
    architecture: UnetArchitecture

    def __init__(self, architecture: UnetArchitecture) -> None:
        super().__init__(architecture)
        from monai.networks.nets.basic_unet import BasicUNet  # noqa: PLC0415 (takes 8 s)

        self.network = BasicUNet(
            spatial_dims=2,
            in_channels=3,
            out_channels=len(architecture.categories),
            features=architecture.features,
        )

    @property
    def categories(self) -> tuple[str, ...]:
        """What each mask of an image shows, in order."""
        return self.architecture.categories

    def encode(self, images: Float[Tensor, "image channel row column"]) -> ImageFeatures:
        """Return the logits of all categories as the embedding: there is nothing left to ask."""
        return ImageFeatures(embedding=self.network(self._as_three_channels(images)))

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return images x categories masks in image-major order."""
        self._refuse_prompts(prompts, multimask)
        logits = features.embedding
        category = torch.arange(logits.shape[1], device=logits.device).repeat(logits.shape[0])
        return MaskPrediction(
            low_resolution_logits=logits.flatten(0, 1).unsqueeze(1), category=category
        )
