"""SAM's mask decoder for prompts about several images at once.

Axis names used in this file:
    image, prompt       images of the batch, and questions about them in any order
    token, cell         output and prompt tokens; cells of the embedding grid, row-major
    candidate           masks that answer the same prompt
    channel, row, column
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from segment_anything.modeling import MaskDecoder as SamMaskDecoder
from torch import Tensor

from .config import SamArchitecture
from .prompt_encoder import PromptEmbedding
from .two_way_transformer import TwoWayTransformer

Cells = Float[Tensor, "prompt channel row column"]


class MaskDecoder(SamMaskDecoder):
    """SAM's mask decoder, fed by an index of images instead of one image."""

    transformer: TwoWayTransformer

    def __init__(self, architecture: SamArchitecture) -> None:
        width = architecture.embedding_width
        super().__init__(
            transformer_dim=width,
            transformer=TwoWayTransformer(
                depth=architecture.decoder_depth,
                width=width,
                num_heads=architecture.decoder_heads,
                mlp_width=architecture.decoder_mlp_width,
                doubled_residual=architecture.doubled_residual,
            ),
            num_multimask_outputs=architecture.num_candidates,
            iou_head_hidden_dim=width,
        )

    def forward(  # type: ignore[override]
        self,
        embedding: Float[Tensor, "image channel row column"],
        prompts: PromptEmbedding,
        *,
        image_index: Int[Tensor, " prompt"],
        grid_positions: Float[Tensor, "1 cell channel"],
        detail: Callable[[Cells], Float[Tensor, "prompt 1 fine_row fine_column"]] | None = None,
        multimask: bool = False,
    ) -> tuple[Float[Tensor, "prompt candidate _ _"], Float[Tensor, "prompt candidate"]]:
        """Return mask logits and predicted IoU.

        Args:
            embedding: One embedding per image.
            prompts: Embedded prompts.
            image_index: Which image each prompt asks about.
            grid_positions: Positional encoding of the embedding grid.
            detail: From the cells after the transformer to logits on a grid four times as fine,
                which are added to every mask.
            multimask: Return the candidates instead of the single mask.
        """
        cells = embedding.index_select(0, image_index) + prompts.dense
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        num_output_tokens = output_tokens.shape[0]
        output_tokens = output_tokens.expand(prompts.tokens.shape[0], -1, -1)
        is_output = prompts.is_present.new_ones(prompts.tokens.shape[0], num_output_tokens)
        tokens, decoded = self.transformer(
            torch.cat([output_tokens, prompts.tokens], dim=1),
            cells.flatten(2).transpose(1, 2),
            cell_positions=grid_positions,
            is_present=torch.cat([is_output, prompts.is_present], dim=1)[:, None, None, :],
        )
        cells = decoded.transpose(1, 2).unflatten(2, cells.shape[2:])
        fine = self.output_upscaling(cells)
        wanted = range(1, self.num_mask_tokens) if multimask else range(1)
        readouts = torch.stack(
            [self.output_hypernetworks_mlps[index](tokens[:, 1 + index]) for index in wanted],
            dim=1,
        )
        masks = (readouts @ fine.flatten(2)).unflatten(2, fine.shape[2:])
        if detail is not None:
            masks = masks + detail(cells)
        predicted_iou = self.iou_prediction_head(tokens[:, 0])
        return masks, predicted_iou[:, 1:] if multimask else predicted_iou[:, :1]
