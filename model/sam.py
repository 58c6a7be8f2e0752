"""SAM: an image encoder, asked by points, boxes or earlier masks through a prompt encoder.

Published as Kirillov et al., "Segment Anything" (arXiv 2304.02643). Its relatives are this class
with plugs in the encoder.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .config import SamArchitecture
from .encoder_input import as_encoder_input
from .image_encoder import EncoderPlugs, ImageEncoder
from .mask_decoder import MaskDecoder
from .prompt_checks import PromptLimits, refuse_unfit_prompts
from .prompt_encoder import PromptEncoder
from .prompts import ImageFeatures, MaskPrediction, Prompts
from .segmenter import Segmenter


class SamSegmenter(Segmenter):
    """SAM, and what its relatives share."""

    predicts_iou: ClassVar[bool] = True
    architecture: SamArchitecture

    def __init__(self, architecture: SamArchitecture, *, plugs: EncoderPlugs | None = None) -> None:
        super().__init__(architecture)
        self.image_encoder = ImageEncoder(architecture, plugs=plugs or EncoderPlugs())
        self.prompt_encoder = PromptEncoder(architecture)
        self.mask_decoder = MaskDecoder(architecture)

    @property
    def prompt_kinds(self) -> frozenset[str]:
        """Which of points, boxes and masks it can be asked with; none where it is automatic."""
        return frozenset(() if self.is_automatic else self.architecture.prompt_kinds)

    @property
    def mask_size(self) -> int:
        """Side, in cells, of the earlier masks that it can be asked with; 0 where it cannot."""
        return 4 * self.architecture.grid_size if "masks" in self.prompt_kinds else 0

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
        prompts = self.check_prompts(prompts, features=features)
        masks, predicted_iou = self.mask_decoder(
            features.embedding,
            self.prompt_encoder(prompts),
            image_index=prompts.image_index,
            grid_positions=self.prompt_encoder.grid_positions(),
            detail=self._detail(features, prompts),
            multimask=bool(multimask),
        )
        return MaskPrediction(low_resolution_logits=masks, predicted_iou=predicted_iou)

    def check_prompts(self, prompts: Prompts | None, *, features: ImageFeatures) -> Prompts:
        """Return the prompts; refuse what this model cannot be asked (see `prompt_checks`)."""
        if prompts is not None and torch.compiler.is_compiling():
            return prompts  # in a graph, sizes are symbols and values are not there
        limits = PromptLimits(
            model=self.kind,
            kinds=self.prompt_kinds,
            num_categories=len(self.categories),
            num_images=features.embedding.shape[0],
            input_size=self.architecture.input_size,
            mask_size=self.mask_size,
            looks_at_kinds_of_points=not self.training,
        )
        return refuse_unfit_prompts(prompts, limits=limits)

    def never_trains(self, module: nn.Module) -> bool:
        """Tell whether it is a prompt encoder that the architecture keeps as it was."""
        return isinstance(module, PromptEncoder) and not self.architecture.trains_prompt_encoder

    def _detail(
        self, features: ImageFeatures, prompts: Prompts
    ) -> Callable[[Tensor], Tensor] | None:
        """Return what adds fine logits to every mask, if anything does (see `MaskDecoder`)."""
        del features, prompts

    def _as_input(
        self, images: Float[Tensor, "image channel row column"]
    ) -> Float[Tensor, "image 3 row column"]:
        return as_encoder_input(images, architecture=self.architecture)
