"""SAMUS: SAM's encoder with a convolutional branch beside it and adapters inside.

Published as Lin et al., "Beyond Adapting SAM: Towards End-to-End Ultrasound Image Segmentation
via Auto Prompting" (arXiv 2309.06824). The images are not normalised: it was trained so.
"""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from .adapter import Adapter
from .cnn_branch import CnnBranch, ConvolutionStage
from .config import SamusArchitecture
from .cross_branch_attention import CrossBranchAttention
from .detail_skip import DetailSkip
from .image_encoder import BlockPlugs, EncoderPlugs, ImageEncoder
from .mask_decoder import MaskDecoder
from .position_adapter import PositionAdapter
from .prompt_encoder import PromptEncoder
from .prompts import ImageFeatures, MaskPrediction, Prompts
from .segmenter import Segmenter

BRANCH_SHARE = 0.5
"""How much of the branch joins the tokens at the end, and of the adapter the MLP."""


class SamusSegmenter(Segmenter):
    """SAMUS, asked by points, boxes or earlier masks."""

    kind: ClassVar[str] = "samus"
    prompt_kinds: ClassVar[frozenset[str]] = frozenset({"points", "boxes", "masks"})
    architecture: SamusArchitecture

    def __init__(self, architecture: SamusArchitecture) -> None:
        super().__init__(architecture)
        self.image_encoder = ImageEncoder(architecture, plugs=samus_plugs(architecture))
        self.prompt_encoder = PromptEncoder(architecture)
        self.mask_decoder = MaskDecoder(architecture)
        self.detail_skip = None
        if architecture.has_detail_skip:
            self.detail_skip = DetailSkip(
                embedding_width=architecture.embedding_width,
                branch_channels=architecture.branch_channels,
                out_channels=architecture.embedding_width // 8,
            )

    def encode(self, images: Float[Tensor, "image channel row column"]) -> ImageFeatures:
        """Return the embedding, and with a detail skip the fine features as `side["detail"]`."""
        encoded = self.image_encoder(self._as_three_channels(images))
        side = {}
        if self.detail_skip is not None:
            side["detail"] = self.detail_skip(encoded.embedding, encoded.branch_stages)
        return ImageFeatures(embedding=encoded.embedding, side=side)

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return one mask per prompt, or the candidates with `multimask`."""
        if prompts is None:
            raise ValueError("SAMUS answers prompts, and got none: give points, boxes or masks.")
        masks, predicted_iou = self.mask_decoder(
            features.embedding,
            self.prompt_encoder(prompts),
            image_index=prompts.image_index,
            grid_positions=self.prompt_encoder.grid_positions(),
            detail=features.side.get("detail"),
            multimask=bool(multimask),
        )
        return MaskPrediction(low_resolution_logits=masks, predicted_iou=predicted_iou)


def samus_plugs(architecture: SamusArchitecture) -> EncoderPlugs:
    """Return what SAMUS adds to SAM's encoder; its global blocks alone are changed."""
    width, ratio = architecture.width, architecture.adapter_ratio

    def block_plugs(index: int) -> BlockPlugs:
        if index not in architecture.global_blocks:
            return BlockPlugs()
        return BlockPlugs(
            before_attention=CrossBranchAttention(width=width, num_heads=architecture.num_heads),
            beside_mlp=Adapter(width=width, ratio=ratio, scale=BRANCH_SHARE),
            branch=ConvolutionStage(in_channels=width, out_channels=width),
        )

    return EncoderPlugs(
        positions=PositionAdapter(table_size=architecture.position_grid, width=width),
        branch=CnnBranch(channels=architecture.branch_channels, width=width),
        after_patches=Adapter(width=width, ratio=ratio),
        branch_output_scale=BRANCH_SHARE,
        block=block_plugs,
    )
