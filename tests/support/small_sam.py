"""SAM and SAMUS in their published layouts, small enough to write to disk in a test."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn

from model import PRESETS, SamArchitecture, SamusArchitecture, Segmenter, build_segmenter
from model.published_names import SAMUS_NAMES, translate_name


def samus_preset(name: str) -> SamusArchitecture:
    """Return a preset that is known to be a SAMUS."""
    preset = PRESETS[name]
    assert isinstance(preset, SamusArchitecture)
    return preset


SAMUS_TINY = samus_preset("samus_tiny")

SMALL_VIT_B: dict[str, Any] = {
    "width": 24,
    "num_heads": 2,
    "position_grid": 16,
    "input_size": 64,
    "window_size": 4,
    "embedding_width": 32,
    "mask_prompt_channels": 8,
    "decoder_heads": 4,
    "decoder_mlp_width": 64,
    "branch_channels": (8, 8, 8),
}
"""ViT-B's blocks, so that the names are the published ones, with few channels."""


def small_sam(architecture: SamArchitecture, **encoder_options: Any) -> Sam:
    """Build `segment_anything`'s own SAM to the measures of a preset.

    Args:
        architecture: Its `position_grid` becomes the grid of the SAM, as 64 is in the real ones.
        **encoder_options: What shall differ in the image encoder.
    """
    grid, width = architecture.position_grid, architecture.embedding_width
    image_size = grid * architecture.patch_size
    options: dict[str, Any] = {
        "embed_dim": architecture.width,
        "depth": architecture.depth,
        "num_heads": architecture.num_heads,
        "global_attn_indexes": architecture.global_blocks,
    } | encoder_options
    torch.manual_seed(0)
    sam = Sam(
        image_encoder=ImageEncoderViT(
            img_size=image_size,
            patch_size=architecture.patch_size,
            mlp_ratio=architecture.mlp_ratio,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),  # pyright: ignore[reportArgumentType]
            use_rel_pos=True,
            rel_pos_zero_init=True,
            window_size=architecture.window_size,
            out_chans=width,
            **options,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=width,
            image_embedding_size=(grid, grid),
            input_image_size=(image_size, image_size),
            mask_in_chans=architecture.mask_prompt_channels,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=architecture.decoder_depth,
                embedding_dim=width,
                mlp_dim=architecture.decoder_mlp_width,
                num_heads=architecture.decoder_heads,
            ),
            transformer_dim=width,
            iou_head_hidden_dim=width,
        ),
    )
    for weight in sam.parameters():
        nn.init.normal_(weight, std=0.1)
    return sam


def small_samus_published(shared_folder: Path) -> tuple[Segmenter, dict[str, Tensor]]:
    """Return a narrow SAMUS and its weights under the names of the published ViT-B."""
    segmenter = build_segmenter("samus_vit_b", **SMALL_VIT_B)
    published = json.loads((shared_folder / "parity/samus_vit_b.shapes.json").read_text())
    state = segmenter.state_dict()
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: torch.randn(state[translate_name(name, names=SAMUS_NAMES)].shape, generator=generator)
        for name in published
    }
    return segmenter, weights
