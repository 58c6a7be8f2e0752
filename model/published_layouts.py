"""The files that others have published: how to tell them apart, and what their names mean here."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A family of files with the same names for the same tensors."""

    name: str
    title: str
    """What people call it."""

    markers: tuple[str, ...]
    """Parts of names; a file is of this layout if each is part of some name in it."""

    is_readable: bool = False
    """Whether a model here takes its weights; the others are known by name only."""


@dataclass(frozen=True, kw_only=True)
class OfficialFile:
    """A file that its publisher has never changed, so that its sha256 tells it."""

    file_name: str
    title: str
    num_bytes: int


OWN_LAYOUT = Layout(
    name="own",
    title="samuspretrain's own layout",
    markers=("image_encoder.", ".relative_positions.rows"),
    is_readable=True,
)

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        name="autosamus",
        title="AutoSAMUS",
        markers=("image_encoder.cnn_embed.", "prompt_generator."),
    ),
    Layout(
        name="samus",
        title="SAMUS",
        markers=("image_encoder.cnn_embed.", "image_encoder.post_pos_embed."),
        is_readable=True,
    ),
    Layout(name="sam_unet", title="SAM-UNet", markers=("sam_img_encoder.", "adapters_bridge.")),
    Layout(name="sam_med2d", title="SAM-Med2D", markers=("image_encoder.", ".Adapter.channel.")),
    Layout(name="medsa", title="Med-SA", markers=("image_encoder.", ".Space_Adapter.D_fc1.")),
    Layout(name="sam2", title="SAM 2", markers=("image_encoder.trunk.",)),
    Layout(
        name="sam_hugging_face",
        title="SAM in Hugging Face's layout",
        markers=("vision_encoder.layers.", "shared_image_embedding."),
    ),
    Layout(
        name="ultrasam", title="UltraSam", markers=("backbone.layers.", "decoder.", "bbox_head.")
    ),
    Layout(
        name="sam",
        title="SAM",
        markers=(
            "image_encoder.pos_embed",
            ".attn.rel_pos_h",
            "prompt_encoder.pe_layer.",
            "mask_decoder.transformer.",
        ),
        is_readable=True,
    ),
    OWN_LAYOUT,
)
"""From the most to the least special; the first that fits is taken."""

OFFICIAL_FILES: dict[str, OfficialFile] = {
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912": OfficialFile(
        file_name="sam_vit_b_01ec64.pth", title="the official SAM ViT-B", num_bytes=375_042_383
    ),
    "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622": OfficialFile(
        file_name="sam_vit_l_0b3195.pth", title="the official SAM ViT-L", num_bytes=1_249_524_607
    ),
    "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e": OfficialFile(
        file_name="sam_vit_h_4b8939.pth", title="the official SAM ViT-H", num_bytes=2_564_550_879
    ),
}
"""By sha256. (The digits in these file names are the first of the MD5 sum, not of the sha256.)"""

ENCODER_OF_WIDTH = {768: "ViT-B", 1024: "ViT-L", 1280: "ViT-H"}

RENAMES: tuple[tuple[str, str], ...] = (
    (r"\bpos_embed$", r"positions.table.weight"),
    (r"\.attn\.rel_pos_h$", r".attn.relative_positions.rows"),
    (r"\.attn\.rel_pos_w$", r".attn.relative_positions.columns"),
    (r"\bpost_pos_embed\.downs\.0\.", r"positions.refinement."),
    (r"\bcnn_embed\.inc\.", r"branch.stages.0."),
    (r"\binput_Adapter\.", r"after_patches."),
    (r"\.MLP_Adapter\.", r".beside_mlp."),
    (r"\.D_fc1\.", r".down."),
    (r"\.D_fc2\.", r".up."),
    (r"\.Space_Adapter\.q\.", r".before_attention.query."),
    (r"\.Space_Adapter\.k\.", r".before_attention.key."),
    (r"\.Space_Adapter\.v\.", r".before_attention.value."),
    (r"\.Space_Adapter\.proj\.", r".before_attention.projection."),
    (r"\.refine_Adapter\.", r".branch."),
    # `conv` and `maxpool_conv` are a convolution and its norm, the second after a pooling.
    (r"\.conv\.0\.|\.maxpool_conv\.1\.", r".convolution."),
    (r"\.conv\.1\.|\.maxpool_conv\.2\.", r".norm."),
)
"""Regular expressions over the names of SAM and SAMUS, all applied in order, and what they become.

They only rename. Which tensors may be resized or missing is asked of the modules, not of names.
"""

POOLED_STAGE = re.compile(r"\bcnn_embed\.downs\.(\d+)\.")
"""SAMUS numbers the stages of its branch from the first that pools; here the first is stage 0."""


def recognise_layout(names: Collection[str]) -> Layout | None:
    """Return the first layout whose every marker is part of some name, if any fits."""
    return next(
        (
            layout
            for layout in LAYOUTS
            if all(any(marker in name for name in names) for marker in layout.markers)
        ),
        None,
    )


def translate_name(published: str) -> str:
    """Return the name that a tensor of SAM or SAMUS has in a segmenter of this package."""
    name = POOLED_STAGE.sub(lambda found: f"branch.stages.{int(found[1]) + 1}.", published)
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def describe_encoder(tensors: Mapping[str, Tensor]) -> str:
    """Return the size of an image encoder in words, such as `ViT-B (768 wide, 12 blocks)`.

    Args:
        tensors: A state dict of any layout that numbers its blocks.
    """
    blocks = {found[1] for name in tensors if (found := re.search(r"\bblocks\.(\d+)\.", name))}
    widths = [
        value.shape[-1]
        for name, value in tensors.items()
        if re.search(r"blocks\.\d+\.norm1\.weight$", name)
    ]
    if not widths:
        return "(no vision transformer of SAM's kind)"
    size = ENCODER_OF_WIDTH.get(widths[0], "a vision transformer of another size")
    return f"{size} ({widths[0]} wide, {len(blocks)} blocks)"
