"""SAM-UNet: a residual network feeds a frozen SAM, and both feed the masks.

Published as Yang et al., "SAM-UNet: Enhancing Zero-Shot Segmentation of SAM for Universal Medical
Images" (arXiv 2408.09886, version 1). Followed is the released code. The patches and the blocks
before the first global one see the image alone and stay frozen: no graph is kept of them, and
activation checkpointing never computes them twice.
"""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from .image_encoder import BlockPlugs, EncoderPlugs
from .prompt_encoder import PromptEncoder
from .prompts import ImageFeatures, MaskPrediction, Prompts
from .published_names import SAM_NAMES, Names
from .residual_branch import FourfoldUpscaling, Reshaper, ResidualBranch
from .sam import SamSegmenter
from .sam_unet_config import SamUnetArchitecture
from .sam_unet_decoder import MedicalHead, MedicalTokenDecoder

_MULTISCALE = "multiscale"

PUBLISHED_NAMES: Names = (
    (r"\bsam_(?:img_encoder|prompt_encoder|mask_decoder)\.", r""),
    *SAM_NAMES,
    (r"^resnet\.stage(\d)\.", r"image_encoder.branch.stages.\1."),
    (r"^adapters_in\.0\.reshaper\.", r"image_encoder.blocks.2.before_block.layers."),
    (r"^adapters_in\.1\.reshaper\.", r"image_encoder.blocks.5.before_block.layers."),
    (r"^adapters_in\.2\.reshaper\.", r"image_encoder.blocks.8.before_block.layers."),
    (r"^adapters_in\.3\.reshaper\.", r"image_encoder.blocks.11.before_block.layers."),
    (r"^adapters_bridge\.", r"bridges."),
    (r"^embedding_encoder\.", r"embedding_upscaling."),
    (r"\bmed_token\.", r"head.token."),
    (r"\bhf_mlp\.", r"head.readout."),
    (r"\bembedding_maskfeature\.", r"head.refinement."),
)
"""What released names become."""


BRANCH = "image_encoder.branch."

RESNET_NAMES: Names = (
    (r"^conv1\.", BRANCH + "stages.0.0."),
    (r"^bn1\.", BRANCH + "stages.0.1."),
    (r"^layer(\d)\.", BRANCH + r"stages.\1."),
)
"""What torchvision's names become: SAM-UNet is trained from its weights for ImageNet."""


class SamUnetSegmenter(SamSegmenter):
    """SAM-UNet, asked by points, boxes or earlier masks; published with boxes alone."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = (
        ResidualBranch,
        Reshaper,
        FourfoldUpscaling,
        MedicalHead,
    )
    removed_from_sam: ClassVar[tuple[str, ...]] = (
        "mask_decoder.iou_token.",
        "mask_decoder.mask_tokens.",
        "mask_decoder.output_hypernetworks_mlps.",
        "mask_decoder.iou_prediction_head.",
    )
    predicts_iou: ClassVar[bool] = False
    mask_decoder: MedicalTokenDecoder

    def __init__(self, architecture: SamUnetArchitecture) -> None:
        super().__init__(architecture, plugs=sam_unet_plugs(architecture))
        self.mask_decoder = MedicalTokenDecoder(architecture)
        width = architecture.embedding_width
        self.embedding_upscaling = FourfoldUpscaling(
            width, hidden_channels=width // 4, out_channels=width // 8
        )
        self.bridges = nn.ModuleList(
            FourfoldUpscaling(architecture.width, hidden_channels=width, out_channels=width // 8)
            for _ in self.image_encoder.tapped_blocks
        )

    def encode(self, images: Float[Tensor, "image channel row column"]) -> ImageFeatures:
        """Return the embedding, and as `side` the features of several scales for the masks."""
        encoded = self.image_encoder(self._as_input(images))
        multiscale = self.embedding_upscaling(encoded.embedding)
        # The released bridges are numbered from the deepest tap.
        for bridge, tokens in zip(self.bridges, reversed(encoded.taps), strict=True):
            multiscale = multiscale + bridge(tokens.permute(0, 3, 1, 2))
        return ImageFeatures(embedding=encoded.embedding, side={_MULTISCALE: multiscale})

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return one mask per prompt."""
        prompts = self.check_prompts(prompts, features=features)
        if multimask:
            raise ValueError(
                f"{self.kind} answers each prompt with one mask, and was asked for several: leave "
                "multimask out."
            )
        masks = self.mask_decoder(
            features.embedding,
            self.prompt_encoder(prompts),
            multiscale=features.side[_MULTISCALE],
            image_index=prompts.image_index,
            grid_positions=self.prompt_encoder.grid_positions(),
        )
        return MaskPrediction(low_resolution_logits=masks)

    def trains_with_base(self, module: nn.Module) -> bool:
        """Tell whether it is what SAM-UNet adds, the prompt encoder or the mask decoder."""
        return isinstance(module, (*self.added_to_sam, PromptEncoder, MedicalTokenDecoder))


def sam_unet_plugs(architecture: SamUnetArchitecture) -> EncoderPlugs:
    """Return what SAM-UNet adds to SAM's encoder; its global blocks take a stage each."""
    global_blocks = sorted(architecture.global_blocks)

    def block_plugs(index: int) -> BlockPlugs:
        if index not in global_blocks:
            return BlockPlugs()
        return BlockPlugs(before_block=Reshaper(architecture, stage=global_blocks.index(index)))

    return EncoderPlugs(
        branch=ResidualBranch(architecture),
        block=block_plugs,
        tapped_blocks=tuple(global_blocks[:-1]),
    )
