"""The mask decoder of SAM-UNet: SAM's transformer, one token, and features of several scales.

Axis names used in this file:
    image, prompt           images of the batch, and questions about them in any order
    cell                    cells of the embedding grid, row-major
    channel, row, column    of the embedding grid; those called fine of one four times as fine
"""

import torch
from jaxtyping import Float, Int
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

from .normalization import LayerNorm2d
from .prompt_encoder import PromptEmbedding
from .residual_branch import FourfoldUpscaling
from .sam_unet_config import SamUnetArchitecture
from .two_way_transformer import TwoWayTransformer


class MedicalHead(nn.Module):
    """What takes the place of SAM's mask and IoU tokens and their heads."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        fine = width // 8
        self.token = nn.Embedding(1, width)
        self.readout = MLP(width, width, fine, 3)
        self.refinement = nn.Sequential(
            nn.Conv2d(fine, 2 * fine, 3, padding=1),
            LayerNorm2d(2 * fine),
            nn.GELU(),
            nn.Conv2d(2 * fine, fine, 3, padding=1),
        )

    def forward(
        self,
        answered: Float[Tensor, "prompt channel"],
        upscaled: Float[Tensor, "prompt fine_channel fine_row fine_column"],
        multiscale: Float[Tensor, "prompt fine_channel fine_row fine_column"],
    ) -> Float[Tensor, "prompt 1 fine_row fine_column"]:
        """Return mask logits from the answered token and the features of both ways up."""
        features = self.refinement(upscaled) + multiscale
        masks = self.readout(answered)[:, None] @ features.flatten(2)
        return masks.unflatten(2, features.shape[2:])


class MedicalTokenDecoder(nn.Module):
    """Answers each prompt with one mask, and no guess of its IoU."""

    def __init__(self, architecture: SamUnetArchitecture) -> None:
        super().__init__()
        width = architecture.embedding_width
        self.transformer = TwoWayTransformer(
            depth=architecture.decoder_depth,
            width=width,
            num_heads=architecture.decoder_heads,
            mlp_width=architecture.decoder_mlp_width,
            doubled_residual=architecture.doubled_residual,
        )
        self.output_upscaling = nn.Sequential(
            *FourfoldUpscaling(width, hidden_channels=width // 4, out_channels=width // 8),
            nn.GELU(),
        )
        self.head = MedicalHead(width=width)

    def forward(
        self,
        embedding: Float[Tensor, "image channel row column"],
        prompts: PromptEmbedding,
        *,
        multiscale: Float[Tensor, "image fine_channel fine_row fine_column"],
        image_index: Int[Tensor, " prompt"],
        grid_positions: Float[Tensor, "1 cell channel"],
    ) -> Float[Tensor, "prompt 1 fine_row fine_column"]:
        """Return mask logits.

        Args:
            embedding: One embedding per image.
            prompts: Embedded prompts.
            multiscale: Per image, the encoder's features on the masks' grid.
            image_index: Which image each prompt asks about.
            grid_positions: Positional encoding of the embedding grid.
        """
        cells = embedding.index_select(0, image_index) + prompts.dense
        asked = self.head.token.weight.expand(image_index.shape[0], 1, -1)
        is_present = torch.cat(
            [prompts.is_present.new_ones(asked.shape[:2]), prompts.is_present], 1
        )
        tokens, decoded = self.transformer(
            torch.cat([asked, prompts.tokens], dim=1),
            cells.flatten(2).transpose(1, 2),
            cell_positions=grid_positions,
            is_present=is_present[:, None, None, :],
        )
        upscaled = self.output_upscaling(decoded.transpose(1, 2).unflatten(2, cells.shape[2:]))
        return self.head(tokens[:, 0], upscaled, multiscale.index_select(0, image_index))
