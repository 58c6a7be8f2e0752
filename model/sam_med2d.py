"""SAM-Med2D: SAM with convolutional adapters, answering with the best of three masks.

Published as Cheng et al., "SAM-Med2D" (arXiv 2308.16184). Followed are paper and released code;
where that code never trains its point embeddings and refines from probabilities, the paper is: they
train, and earlier masks are logits.
"""

from typing import ClassVar

from torch import nn

from .image_encoder import BlockPlugs, EncoderPlugs
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .prompts import ImageFeatures, MaskPrediction, Prompts
from .published_names import SAM_NAMES, Names
from .sam import SamSegmenter
from .sam_med2d_config import SamMed2dArchitecture
from .spatial_adapter import SpatialAdapter

PUBLISHED_NAMES: Names = (
    *SAM_NAMES,
    (r"\.Adapter\.channel\.", r".beside_mlp.channel_gate."),
    (r"\.Adapter\.", r".beside_mlp."),
)
"""What released names become."""


class SamMed2dSegmenter(SamSegmenter):
    """SAM-Med2D, asked by points, boxes or earlier masks."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = (SpatialAdapter,)

    def __init__(self, architecture: SamMed2dArchitecture) -> None:
        super().__init__(architecture, plugs=sam_med2d_plugs(architecture))

    @property
    def habitual_masks(self) -> tuple[int, ...]:
        """All candidates, one of which is the answer."""
        return tuple(range(1, 1 + self.architecture.num_candidates))

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return the candidate of the highest predicted IoU.

        With `multimask` all candidates are returned; without it, when it is False, SAM's single
        mask, which is never trained here.
        """
        answer = super().decode(features, prompts, multimask is None or multimask)
        return answer.best_candidate() if multimask is None else answer

    def trains_with_base(self, module: nn.Module) -> bool:
        """Tell whether it is an adapter, the prompt encoder or the mask decoder."""
        return isinstance(module, (SpatialAdapter, PromptEncoder, MaskDecoder))


def sam_med2d_plugs(architecture: SamMed2dArchitecture) -> EncoderPlugs:
    """Return what SAM-Med2D adds to SAM's encoder."""
    return EncoderPlugs(
        block=lambda _: BlockPlugs(
            beside_mlp=SpatialAdapter(
                width=architecture.width,
                ratio=architecture.adapter_ratio,
                starts_at_zero=architecture.starts_as_sam,
            )
        )
    )
