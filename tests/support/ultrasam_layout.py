"""SAM's tensors under the names that UltraSam's training framework gives them."""

import re

import torch
from torch import Tensor

_LABELS = (
    "prompt_encoder.no_mask_embed.weight",
    "prompt_encoder.point_embeddings.0.weight",
    "prompt_encoder.point_embeddings.1.weight",
    "prompt_encoder.point_embeddings.2.weight",
    "prompt_encoder.point_embeddings.3.weight",
    "prompt_encoder.not_a_point_embed.weight",
    "mask_decoder.mask_tokens.weight",
    "mask_decoder.iou_token.weight",
)

_RENAMES = (
    (r"^image_encoder\.", "backbone."),
    (r"^backbone\.blocks\.", "backbone.layers."),
    (r"^(backbone\.layers\.\d+)\.norm", r"\1.ln"),
    (r"^(backbone\.layers\.\d+)\.mlp\.lin1", r"\1.ffn.layers.0.0"),
    (r"^(backbone\.layers\.\d+)\.mlp\.lin2", r"\1.ffn.layers.1"),
    (r"^backbone\.patch_embed\.proj\.", "backbone.patch_embed.projection."),
    (r"^backbone\.neck\.", "backbone.channel_reduction."),
    (r"^mask_decoder\.transformer\.", "decoder."),
    (r"^decoder\.norm_final_attn\.", "decoder.post_norm."),
    (r"^(decoder\..*)\.([qkv]_proj)\.weight", r"\1.attn.\2_weight"),
    (r"^(decoder\..*)\.out_proj\.", r"\1.attn.out_proj."),
    (r"^(decoder\..*\.mlp)\.lin1", r"\1.layers.0.0"),
    (r"^(decoder\..*\.mlp)\.lin2", r"\1.layers.1"),
    (r"^mask_decoder\.", "bbox_head."),
)


def as_ultrasam(sam: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a SAM's state dict as UltraSam's file holds it."""
    left = dict(sam)
    table = torch.cat([left.pop(name) for name in _LABELS])
    released = {"prompt_encoder.label_encoder.label_embedding.weight": table}
    for name in [name for name in left if name.endswith("q_proj.bias")]:
        biases = [left.pop(name.replace("q_proj", f"{axis}_proj")) for axis in "qkv"]
        stem = name.removeprefix("mask_decoder.transformer.").removesuffix("q_proj.bias")
        released[f"decoder.{stem}attn.in_proj_bias"] = torch.cat(biases)
    for name, value in left.items():
        renamed = name
        for pattern, replacement in _RENAMES:
            renamed = re.sub(pattern, replacement, renamed)
        released[renamed] = value
    return released
