"""Med-SA: SAM with adapters after the attention and beside the MLP of every block.

Published as Wu et al., "Medical SAM Adapter" (arXiv 2304.12620). Followed is the released code, in
two dimensions: its decoder trains whole, and the paper's prompt-conditioned adapters are not in it.
Where that code is mistaken, SAM is followed: relative positions are loaded, images are normalised,
and windows are padded after the first norm.
"""

from typing import ClassVar

from torch import nn

from .adapter import Adapter
from .image_encoder import BlockPlugs, EncoderPlugs
from .mask_decoder import MaskDecoder
from .medsa_config import MedSaArchitecture
from .position_adapter import Positions
from .published_names import SAM_NAMES, Names
from .sam import SamSegmenter

MLP_ADAPTER_SCALE = 0.5
"""How much of its adapter joins the MLP."""

PUBLISHED_NAMES: Names = (
    *SAM_NAMES,
    (r"\.attn\.rel_h$", r".attn.relative_positions.rows"),
    (r"\.attn\.rel_w$", r".attn.relative_positions.columns"),
    (r"\.Space_Adapter\.", r".after_attention."),
    (r"\.MLP_Adapter\.", r".beside_mlp."),
    (r"\.D_fc1\.", r".down."),
    (r"\.D_fc2\.", r".up."),
)
"""What released names become."""

PUBLISHED_UNUSED: tuple[str, ...] = (r"\.Depth_Adapter\.",)
"""Regular expressions of released names without a place here: they act on volumes alone."""


class MedSaSegmenter(SamSegmenter):
    """Med-SA, asked by points, boxes or earlier masks."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = (Adapter,)

    def __init__(self, architecture: MedSaArchitecture) -> None:
        super().__init__(architecture, plugs=medsa_plugs(architecture))

    def trains_with_base(self, module: nn.Module) -> bool:
        """Tell whether it is an adapter or the mask decoder."""
        return isinstance(module, (Adapter, MaskDecoder))


def medsa_plugs(architecture: MedSaArchitecture) -> EncoderPlugs:
    """Return what Med-SA adds to SAM's encoder; off its own grid, positions are bicubic."""

    def adapter(*, scale: float) -> Adapter:
        made = Adapter(width=architecture.width, ratio=architecture.adapter_ratio, scale=scale)
        if architecture.starts_as_sam:
            nn.init.zeros_(made.up.weight)
            nn.init.zeros_(made.up.bias)
        return made

    return EncoderPlugs(
        positions=Positions(
            table_size=architecture.position_grid,
            width=architecture.width,
            interpolation="bicubic",
        ),
        block=lambda _: BlockPlugs(
            after_attention=adapter(scale=1.0), beside_mlp=adapter(scale=MLP_ADAPTER_SCALE)
        ),
    )
