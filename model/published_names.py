"""What the names of SAM's published layouts are here, and the way back for SAM and SAMUS.

Each table only renames. Which tensors may be resized or missing is asked of the modules. The tables
of the variants are in their own files.
"""

import re

from torch import Tensor

Names = tuple[tuple[str, str], ...]
"""Regular expressions over published names, applied in order, and what they become."""

Pairs = tuple[tuple[str, str], ...]
"""Parts of names, theirs and ours, which can be exchanged in both directions."""

_RELATIVE_POSITIONS: Pairs = (
    (".attn.rel_pos_h", ".attn.relative_positions.rows"),
    (".attn.rel_pos_w", ".attn.relative_positions.columns"),
)

SAM_PAIRS: Pairs = (
    ("image_encoder.pos_embed", "image_encoder.positions.table.weight"),
    *_RELATIVE_POSITIONS,
)

_POOLED_STAGES: Pairs = tuple(
    (
        f"image_encoder.cnn_embed.downs.{stage - 1}.maxpool_conv.{part}.",
        f"image_encoder.branch.stages.{stage}.{meaning}.",
    )
    for stage in range(1, 6)
    for part, meaning in ((1, "convolution"), (2, "norm"))
)
"""SAMUS numbers the stages of its branch from the first that pools; here the first is stage 0."""

SAMUS_PAIRS: Pairs = (
    *SAM_PAIRS,
    ("post_pos_embed.downs.0.maxpool_conv.1.", "positions.refinement.convolution."),
    ("post_pos_embed.downs.0.maxpool_conv.2.", "positions.refinement.norm."),
    ("image_encoder.cnn_embed.inc.conv.0.", "image_encoder.branch.stages.0.convolution."),
    ("image_encoder.cnn_embed.inc.conv.1.", "image_encoder.branch.stages.0.norm."),
    *_POOLED_STAGES,
    ("image_encoder.input_Adapter.", "image_encoder.after_patches."),
    (".MLP_Adapter.", ".beside_mlp."),
    (".D_fc1.", ".down."),
    (".D_fc2.", ".up."),
    (".Space_Adapter.q.", ".before_attention.query."),
    (".Space_Adapter.k.", ".before_attention.key."),
    (".Space_Adapter.v.", ".before_attention.value."),
    (".Space_Adapter.proj.", ".before_attention.projection."),
    (".refine_Adapter.conv.0.", ".branch.convolution."),
    (".refine_Adapter.conv.1.", ".branch.norm."),
)


def forwards(pairs: Pairs) -> Names:
    """Return pairs as the table that `translate_name` takes."""
    return tuple((re.escape(theirs), ours) for theirs, ours in pairs)


def translate_name(published: str, *, names: Names) -> str:
    """Return the name that a published tensor has in a segmenter of this package."""
    for pattern, replacement in names:
        published = re.sub(pattern, replacement, published)
    return published


def published_name(own: str, *, pairs: Pairs) -> str:
    """Return the name that a tensor of ours has in the layout that the pairs are for."""
    for theirs, ours in reversed(pairs):
        own = own.replace(ours, theirs)
    return own


SAM_NAMES: Names = forwards(SAM_PAIRS)

SAMUS_NAMES: Names = forwards(SAMUS_PAIRS)

_HIDDEN_LAYERS = r"((?:output_hypernetworks_mlps\.\d+|iou_prediction_head)\.)"

HUGGING_FACE_NAMES: Names = (
    (
        r"^shared_image_embedding\.positional_embedding$",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.layer_norm([1-4])\.", r".norm\1."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (_HIDDEN_LAYERS + r"layers\.0\.", r"\1layers.1."),
    (_HIDDEN_LAYERS + r"proj_in\.", r"\1layers.0."),
    (_HIDDEN_LAYERS + r"proj_out\.", r"\1layers.2."),
    *SAM_NAMES,
)

HUGGING_FACE_UNUSED = (r"^prompt_encoder\.shared_embedding\.",)
"""A second name of `shared_image_embedding`."""

ULTRASAM_NAMES: Names = (
    (r"^backbone\.layers\.(\d+)\.ln([12])\.", r"image_encoder.blocks.\1.norm\2."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.0\.0\.", r"image_encoder.blocks.\1.mlp.lin1."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.1\.", r"image_encoder.blocks.\1.mlp.lin2."),
    (r"^backbone\.layers\.", "image_encoder.blocks."),
    (r"^backbone\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^backbone\.channel_reduction\.", "image_encoder.neck."),
    (r"^backbone\.", "image_encoder."),
    (r"^decoder\.post_norm\.", "mask_decoder.transformer.norm_final_attn."),
    (r"^decoder\.(layers\.\d+\.mlp)\.layers\.0\.0\.", r"mask_decoder.transformer.\1.lin1."),
    (r"^decoder\.(layers\.\d+\.mlp)\.layers\.1\.", r"mask_decoder.transformer.\1.lin2."),
    (r"^decoder\.", "mask_decoder.transformer."),
    (r"\.attn\.([qkv]_proj)_weight$", r".\1.weight"),
    (r"\.attn\.out_proj\.", ".out_proj."),
    (r"^bbox_head\.", "mask_decoder."),
    *SAM_NAMES,
)
"""For the names that `split_ultrasam` gives."""

_LABELS = (
    ("prompt_encoder.no_mask_embed.weight", 1),
    *((f"prompt_encoder.point_embeddings.{kind}.weight", 1) for kind in range(4)),
    ("prompt_encoder.not_a_point_embed.weight", 1),
    ("mask_decoder.mask_tokens.weight", 4),
    ("mask_decoder.iou_token.weight", 1),
)
"""What UltraSam's one table of embeddings is in SAM, and in how many rows."""

_NUM_LABELS = sum(num_rows for _, num_rows in _LABELS)


def split_ultrasam(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut what UltraSam's file joins: three projections, and eleven embeddings."""
    parts: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if ".attn.in_proj_" in name:
            stem, kind = name.split(".attn.in_proj_")
            for axis, part in zip("qkv", value.chunk(3), strict=True):
                parts[f"{stem}.{axis}_proj.{kind}"] = part
        elif name.endswith("label_embedding.weight") and value.shape[0] == _NUM_LABELS:
            sizes = [size for _, size in _LABELS]
            parts |= dict(zip([label for label, _ in _LABELS], value.split(sizes), strict=True))
        else:
            parts[name] = value
    return parts
