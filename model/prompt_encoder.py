"""Clicks, boxes and earlier masks become tokens and a dense embedding.

Axis names used in this file:
    prompt   one question about one image
    slot     point slots, then the padding slot, then two corners where boxes are given
    channel, row, column   of the embedding grid
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from segment_anything.modeling import PromptEncoder as SamPromptEncoder
from torch import Tensor, nn

from .config import SamArchitecture
from .prompts import ABSENT, BOX_END, BOX_START, Prompts


@dataclass(frozen=True, kw_only=True)
class PromptEmbedding:
    """Prompts as the mask decoder takes them."""

    tokens: Float[Tensor, "prompt slot channel"]
    is_present: Bool[Tensor, "prompt slot"]
    dense: Float[Tensor, "prompt channel row column"]
    """Its grid has one cell when no mask is given: the same vector everywhere."""


class PromptEncoder(SamPromptEncoder):
    """SAM's prompt encoder for prompts of different kinds in one batch.

    A slot that is absent is marked so, and the decoder leaves it out. SAM's padding token, which
    goes with clicks that have no box, stays: it is present for just those prompts. Every embedding
    is part of every graph, whatever the prompts are, so that engines always find its gradient.
    """

    def __init__(self, architecture: SamArchitecture) -> None:
        grid = (architecture.grid_size, architecture.grid_size)
        super().__init__(
            embed_dim=architecture.embedding_width,
            image_embedding_size=grid,
            input_image_size=(architecture.input_size, architecture.input_size),
            mask_in_chans=architecture.mask_prompt_channels,
        )

    def forward(self, prompts: Prompts) -> PromptEmbedding:  # type: ignore[override]
        """Return the embedding of `prompts`."""
        coordinates, labels, is_padding = _slots(prompts)
        is_present = (labels != ABSENT) | is_padding
        first = labels.new_zeros(1)
        kinds = (self.not_a_point_embed, *self.point_embeddings)
        vectors = torch.cat([embedding(first) for embedding in kinds])
        # Label -1 takes the first vector: right for the padding slot, unseen for absent ones.
        is_placed = (labels != ABSENT).unsqueeze(-1)
        tokens = self._encode_positions(coordinates) * is_placed + vectors[labels + 1]
        return PromptEmbedding(tokens=tokens, is_present=is_present, dense=self._dense(prompts))

    def grid_positions(self) -> Float[Tensor, "1 cell channel"]:
        """Return the positional encoding of the embedding grid, row-major."""
        side = self.image_embedding_size[0]
        device = self._frequencies.device
        centres = (torch.arange(side, device=device) + 0.5) * (self.input_image_size[0] / side)
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        # Points are shifted by half a pixel when they are encoded.
        cells = torch.stack([columns, rows], dim=-1).reshape(1, -1, 2) - 0.5
        return self._encode_positions(cells)

    @property
    def _frequencies(self) -> Float[Tensor, "2 _"]:
        return self.pe_layer.get_buffer("positional_encoding_gaussian_matrix")

    def _encode_positions(
        self, points: Float[Tensor, "prompt slot 2"]
    ) -> Float[Tensor, "prompt slot channel"]:
        """Encode pixel coordinates by random frequencies.

        Products and sums instead of a matrix product: autocast would round that to bfloat16,
        which is a pixel or more in a large image.
        """
        frequencies = self._frequencies
        unit = 2.0 * ((points + 0.5) / self.input_image_size[0]) - 1.0
        phase = unit[..., :1] * frequencies[0] + unit[..., 1:] * frequencies[1]
        phase = 2.0 * math.pi * phase
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def _dense(self, prompts: Prompts) -> Float[Tensor, "prompt channel _ _"]:
        first = prompts.image_index.new_zeros(1)
        constant = self.no_mask_embed(first)[:, :, None, None]
        if prompts.mask_logits is not None:
            dense = self.mask_downscaling(prompts.mask_logits)
            if prompts.has_mask is not None:
                return torch.where(prompts.has_mask[:, None, None, None], dense, constant)
            return dense + 0.0 * constant if _is_trained(self.no_mask_embed) else dense
        constant = constant.expand(prompts.num_prompts, -1, 1, 1)
        if _is_trained(self.mask_downscaling):
            nothing = self.mask_downscaling(constant.new_zeros(1, 1, 4, 4))
            constant = constant + 0.0 * nothing
        return constant


def _is_trained(module: nn.Module) -> bool:
    return torch.is_grad_enabled() and any(weight.requires_grad for weight in module.parameters())


def _slots(
    prompts: Prompts,
) -> tuple[Float[Tensor, "prompt slot 2"], Int[Tensor, "prompt slot"], Bool[Tensor, "prompt slot"]]:
    """Return coordinates and labels of all slots, and which slot is a real padding token."""
    index = prompts.image_index
    points, labels = prompts.points, prompts.point_labels
    if points is None or labels is None:
        points = torch.zeros(index.shape[0], 0, 2, device=index.device)
        labels = index.new_zeros(index.shape[0], 0)
    has_point = (labels != ABSENT).any(dim=1, keepdim=True)
    has_box = (labels >= BOX_START).any(dim=1, keepdim=True)
    coordinates = [points, points.new_zeros(index.shape[0], 1, 2)]
    all_labels = [labels, labels.new_full((index.shape[0], 1), ABSENT)]
    is_padding = [torch.zeros_like(labels, dtype=torch.bool), has_point & ~has_box]
    if prompts.boxes is not None:
        corners = torch.tensor([BOX_START, BOX_END], device=index.device, dtype=labels.dtype)
        coordinates.append(prompts.boxes.unflatten(1, (2, 2)))
        all_labels.append(corners.expand(index.shape[0], 2))
        is_padding[1] = torch.zeros_like(has_point)
        is_padding.append(torch.zeros_like(all_labels[-1], dtype=torch.bool))
    return torch.cat(coordinates, 1), torch.cat(all_labels, 1), torch.cat(is_padding, 1)
