"""SAM: an image encoder, asked by points, boxes or earlier masks through a prompt encoder.

Published as Kirillov et al., "Segment Anything" (arXiv 2304.02643). Its relatives are this class
with plugs in the encoder.
"""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from .config import SamArchitecture
from .image_encoder import EncoderPlugs, ImageEncoder
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .prompts import ImageFeatures, MaskPrediction, Prompts
from .segmenter import Segmenter

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_DEVIATION = (58.395, 57.12, 57.375)
"""Of red, green and blue in SAM's training images, for pixels of 0 to 255."""


class SamSegmenter(Segmenter):
    """SAM, and what its relatives share."""

    prompt_kinds: ClassVar[frozenset[str]] = frozenset({"points", "boxes", "masks"})
    architecture: SamArchitecture

    def __init__(self, architecture: SamArchitecture, *, plugs: EncoderPlugs | None = None) -> None:
        super().__init__(architecture)
        self.image_encoder = ImageEncoder(architecture, plugs=plugs or EncoderPlugs())
        self.prompt_encoder = PromptEncoder(architecture)
        self.mask_decoder = MaskDecoder(architecture)

    def encode(self, images: Float[Tensor, "image channel row column"]) -> ImageFeatures:
        """Return the embedding of framed images."""
        return ImageFeatures(embedding=self.image_encoder(self._as_input(images)).embedding)

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return one mask per prompt, or the candidates with `multimask`."""
        prompts = self._refuse_no_prompts(prompts)
        masks, predicted_iou = self.mask_decoder(
            features.embedding,
            self.prompt_encoder(prompts),
            image_index=prompts.image_index,
            grid_positions=self.prompt_encoder.grid_positions(),
            multimask=bool(multimask),
        )
        return MaskPrediction(low_resolution_logits=masks, predicted_iou=predicted_iou)

    def _as_input(
        self, images: Float[Tensor, "image channel row column"]
    ) -> Float[Tensor, "image 3 row column"]:
        images = self._as_three_channels(images)
        if not self.architecture.normalises:
            return images
        mean, deviation = (
            images.new_tensor(values)[:, None, None] / 255.0
            for values in (PIXEL_MEAN, PIXEL_DEVIATION)
        )
        return (images - mean) / deviation

    def _refuse_no_prompts(self, prompts: Prompts | None) -> Prompts:
        if prompts is None:
            raise ValueError(
                f"{self.kind} answers prompts, and got none: give points, boxes or masks."
            )
        return prompts
