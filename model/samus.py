"""SAMUS: SAM's encoder with a convolutional branch beside it and adapters inside.

Published as Lin et al., "Beyond Adapting SAM: Towards End-to-End Ultrasound Image Segmentation
via Auto Prompting" (arXiv 2309.06824). The images are not normalised: it was trained so.
"""

import functools
from collections.abc import Callable
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from .adapter import Adapter
from .attention import RelativePositions
from .cnn_branch import CnnBranch, ConvolutionStage
from .config import SamusArchitecture
from .cross_branch_attention import CrossBranchAttention
from .detail_skip import DetailSkip
from .image_encoder import BlockPlugs, EncoderPlugs
from .position_adapter import PositionAdapter
from .prompts import ImageFeatures, Prompts
from .sam import SamSegmenter

_STAGES = ("coarse_stage", "fine_stage")
"""Names of the branch's stages that a detail skip joins, in the order it takes them."""

BRANCH_SHARE = 0.5
"""How much of the branch joins the tokens at the end, and of the adapter the MLP."""


class SamusSegmenter(SamSegmenter):
    """SAMUS, asked by points, boxes or earlier masks."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = (
        Adapter,
        CnnBranch,
        ConvolutionStage,
        CrossBranchAttention,
        DetailSkip,
    )
    unpublished: ClassVar[tuple[type[nn.Module], ...]] = (DetailSkip,)

    def __init__(self, architecture: SamusArchitecture) -> None:
        super().__init__(architecture, plugs=samus_plugs(architecture))
        self.detail_skip = None
        if architecture.has_detail_skip:
            self.detail_skip = DetailSkip(
                embedding_width=architecture.embedding_width,
                branch_channels=architecture.branch_channels,
            )

    def encode(self, images: Float[Tensor, "image channel row column"]) -> ImageFeatures:
        """Return the embedding, and with a detail skip the branch's finer stages as `side`."""
        encoded = self.image_encoder(self._as_input(images))
        side: dict[str, Tensor] = {}
        if self.detail_skip is not None:
            side.update(zip(_STAGES, encoded.branch_stages[-2:-4:-1], strict=True))
        return ImageFeatures(embedding=encoded.embedding, side=side)

    def trains_with_base(self, module: nn.Module) -> bool:
        """Tell whether it is what SAMUS adds, or relative positions of a global block."""
        if isinstance(module, RelativePositions):
            return module.is_global
        return isinstance(module, self.added_to_sam)

    def _detail(
        self, features: ImageFeatures, prompts: Prompts
    ) -> Callable[[Tensor], Tensor] | None:
        if self.detail_skip is None:
            return None
        return functools.partial(
            self.detail_skip,
            stages=[features.side[name].index_select(0, prompts.image_index) for name in _STAGES],
            prompts=prompts,
            input_size=self.architecture.input_size,
        )


def samus_plugs(architecture: SamusArchitecture) -> EncoderPlugs:
    """Return what SAMUS adds to SAM's encoder; its global blocks alone are changed."""
    width, ratio = architecture.width, architecture.adapter_ratio

    def block_plugs(index: int) -> BlockPlugs:
        if index not in architecture.global_blocks:
            return BlockPlugs()
        return BlockPlugs(
            before_attention=CrossBranchAttention(width=width, num_heads=architecture.num_heads),
            beside_mlp=Adapter(width=width, ratio=ratio, scale=BRANCH_SHARE),
            branch=ConvolutionStage(
                in_channels=width,
                out_channels=width,
                normalisation=architecture.branch_normalisation,
            ),
        )

    return EncoderPlugs(
        positions=PositionAdapter(table_size=architecture.position_grid, width=width),
        branch=CnnBranch(
            channels=architecture.branch_channels,
            width=width,
            normalisation=architecture.branch_normalisation,
        ),
        after_patches=Adapter(width=width, ratio=ratio),
        branch_output_scale=BRANCH_SHARE,
        block=block_plugs,
    )
