"""AutoSAMUS: SAMUS that asks itself, once for each category.

Published with SAMUS by Lin et al. (arXiv 2309.06824), for one category; as released, that is one
set of task tokens. With several sets an image gets a mask and a presence logit for each category.

Axis names used in this file:
    image             of the batch
    answer            one category of one image, image-major
    candidate, channel, row, column
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .autosamus_config import AutosamusArchitecture, AutosamusStudentArchitecture
from .prompt_encoder import PromptEmbedding, PromptEncoder
from .prompt_generator import DenseAdapter, PresenceHead, PromptGenerator
from .prompts import ImageFeatures, MaskPrediction, Prompts
from .sam import SamSegmenter
from .samus import SamusSegmenter
from .student import StudentSegmenter

PUBLISHED_NAMES: tuple[tuple[str, str], ...] = (
    (r"^feature_adapter\.", r"dense_adapter."),
    (r"^prompt_generator\.object_token$", r"prompt_generator.task_tokens"),
    (r"^prompt_generator\.token_proj\.", r"prompt_generator.projection."),
    (r"^prompt_generator\.cross_token_token\.layers\.", r"prompt_generator.token_layers."),
    (r"^prompt_generator\.cross_image_token\.layers\.", r"prompt_generator.image_layers."),
    (r"(_layers\.\d+)\.0\.", r"\1.first_attention."),
    (r"(_layers\.\d+)\.1\.", r"\1.second_attention."),
    (r"(_layers\.\d+)\.2\.", r"\1.first_mlp."),
    (r"(_layers\.\d+)\.3\.", r"\1.second_mlp."),
    (r"((?:first|second)_attention)\.norm1\.", r"\1.query_norm."),
    (r"((?:first|second)_attention)\.norm2\.", r"\1.key_norm."),
    (r"((?:first|second)_attention)\.fn\.to_q\.", r"\1.query."),
    (r"((?:first|second)_attention)\.fn\.to_kv\.", r"\1.key_value."),
    (r"((?:first|second)_attention)\.fn\.to_out\.0\.", r"\1.output."),
    (r"((?:first|second)_mlp)\.norm\.", r"\1.0."),
    (r"((?:first|second)_mlp)\.fn\.net\.0\.", r"\1.1."),
    (r"((?:first|second)_mlp)\.fn\.net\.3\.", r"\1.3."),
)
"""Regular expressions over the released names, applied in order beside those of SAMUS."""

ABSENT_LOGIT = -1.0
"""Logits of the mask of a category that is called absent are at most this: it is empty."""

_GENERATOR = (PromptGenerator, DenseAdapter, PresenceHead)


class SelfPromptingSegmenter(SamSegmenter):
    """What makes a relative of SAM answer every category by itself: written before it as a base."""

    is_automatic: ClassVar[bool] = True
    added_to_parent: ClassVar[tuple[type[nn.Module], ...]] = _GENERATOR

    def __init__(self, architecture: AutosamusArchitecture | AutosamusStudentArchitecture) -> None:
        super().__init__(architecture)
        self._categories = architecture.categories
        self._trains_adapters = architecture.trains_adapters
        self.prompt_generator = PromptGenerator(architecture)
        self.dense_adapter = DenseAdapter(architecture)
        self.presence_head = PresenceHead(architecture) if architecture.judges_presence else None

    @property
    def categories(self) -> tuple[str, ...]:
        """What each answer about an image is about, in order."""
        return self._categories

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return images x categories masks in image-major order, each with its presence logit.

        In evaluation mode the mask of a category whose presence logit is not above 0 is empty; in
        training it is as it was drawn, because its loss counts where the category is present.
        """
        self._refuse_prompts(prompts, multimask)
        num_images, num_categories = features.embedding.shape[0], len(self.categories)
        device = features.embedding.device
        image = torch.arange(num_images, device=device).repeat_interleave(num_categories)
        decoder = self.mask_decoder
        generated = self.prompt_generator(
            features.embedding,
            output_tokens=torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]),
        )
        masks, predicted_iou = decoder(
            generated.embedding,
            PromptEmbedding(
                tokens=generated.tokens,
                is_present=image.new_ones(generated.tokens.shape[:2], dtype=torch.bool),
                dense=self.dense_adapter(generated.embedding),
            ),
            image_index=torch.arange(image.shape[0], device=device),
            grid_positions=self.prompt_encoder.grid_positions(),
            detail=self._detail(features, Prompts(image_index=image)),
        )
        presence = None
        if self.presence_head is not None:
            presence = self.presence_head(generated, embedding=features.embedding, masks=masks)
            if not self.training:
                masks = _without_absent(masks, presence=presence)
        return MaskPrediction(
            low_resolution_logits=masks,
            predicted_iou=predicted_iou,
            category=torch.arange(num_categories, device=device).repeat(num_images),
            presence_logits=presence,
        )

    def never_trains(self, module: nn.Module) -> bool:
        """Tell whether it is the prompt encoder, which nothing ever reaches here."""
        return isinstance(module, PromptEncoder)

    def trains_with_base(self, module: nn.Module) -> bool:
        """Tell whether it belongs to the generator, or is SAMUS's and trains beside it."""
        if isinstance(module, self.added_to_parent):
            return True
        return self._trains_adapters and super().trains_with_base(module)


class AutosamusSegmenter(SelfPromptingSegmenter, SamusSegmenter):
    """SAMUS, answering every category by itself."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = (
        *SamusSegmenter.added_to_sam,
        *_GENERATOR,
    )
    unpublished: ClassVar[tuple[type[nn.Module], ...]] = (
        *SamusSegmenter.unpublished,
        PresenceHead,
    )


class AutosamusStudentSegmenter(SelfPromptingSegmenter, StudentSegmenter):
    """The student, answering every category by itself."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = (
        *StudentSegmenter.added_to_sam,
        *_GENERATOR,
    )


def _without_absent(
    masks: Float[Tensor, "answer candidate row column"], *, presence: Float[Tensor, " answer"]
) -> Float[Tensor, "answer candidate row column"]:
    is_present = (presence > 0)[:, None, None, None]
    return torch.where(is_present, masks, masks.clamp(max=ABSENT_LOGIT))
