"""The files that others have published: how to tell them apart, and what their names mean here."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from . import autosamus, medsa, sam_med2d, sam_unet
from .published_names import (
    HUGGING_FACE_NAMES,
    HUGGING_FACE_UNUSED,
    SAM_NAMES,
    SAMUS_NAMES,
    ULTRASAM_NAMES,
    Names,
    split_ultrasam,
    translate_name,
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A family of files with the same names for the same tensors."""

    name: str
    title: str
    """What people call it."""

    markers: tuple[str, ...]
    """Parts of names; a file is of this layout if each is part of some name in it."""

    kind: str | None = None
    """The architecture that such files are of; none for what no model here takes."""

    names: Names = ()
    split: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
    """Cuts tensors that the layout joins; before names are translated."""

    unused: tuple[str, ...] = ()
    """Regular expressions of published names that have no place here, on purpose."""

    reason_unused: str = ""
    part: str = ""
    """How all names begin here, where files are of a part of a model; the rest stays as it is."""

    needs: Mapping[str, object] = field(default_factory=dict)
    """Options of the architecture without which the same weights compute another function."""

    def translate(self, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the tensors under our names, and what is left out on purpose, with the reason."""
        named: dict[str, Tensor] = {}
        left_out: dict[str, str] = {}
        for published, value in self.split(tensors).items():
            if any(re.search(pattern, published) for pattern in self.unused):
                left_out[published] = self.reason_unused
                continue
            name = translate_name(published, names=self.names)
            if name in named:
                raise ValueError(
                    f"Two tensors mean {name}, one of them {published!r}. The file mixes layouts: "
                    "take the one that was published."
                )
            named[name] = value
        return named, left_out


OWN_LAYOUT = Layout(
    name="own",
    title="samuspretrain's own layout",
    markers=("image_encoder.", ".relative_positions.rows"),
)

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        name="autosamus",
        title="AutoSAMUS",
        markers=("image_encoder.cnn_embed.", "prompt_generator.", "feature_adapter."),
        kind="autosamus",
        names=(*SAMUS_NAMES, *autosamus.PUBLISHED_NAMES),
    ),
    Layout(
        name="samus",
        title="SAMUS",
        markers=("image_encoder.cnn_embed.", "image_encoder.post_pos_embed."),
        kind="samus",
        names=SAMUS_NAMES,
    ),
    Layout(
        name="sam_unet",
        title="SAM-UNet",
        markers=("sam_img_encoder.", "adapters_in.", "adapters_bridge.", "resnet.", "med_token."),
        kind="sam_unet",
        names=sam_unet.PUBLISHED_NAMES,
    ),
    Layout(
        name="sam_med2d",
        title="SAM-Med2D",
        markers=("image_encoder.", ".Adapter.channel."),
        kind="sam_med2d",
        names=sam_med2d.PUBLISHED_NAMES,
    ),
    Layout(
        name="medsa",
        title="Med-SA",
        markers=("image_encoder.", ".Space_Adapter.D_fc1."),
        kind="medsa",
        names=medsa.PUBLISHED_NAMES,
        unused=medsa.PUBLISHED_UNUSED,
        reason_unused="adapters along the depth of volumes",
    ),
    Layout(name="sam2", title="SAM 2", markers=("image_encoder.trunk.",)),
    Layout(
        name="sam_hugging_face",
        title="SAM in Hugging Face's layout",
        markers=("vision_encoder.layers.", "shared_image_embedding."),
        kind="sam",
        names=HUGGING_FACE_NAMES,
        unused=HUGGING_FACE_UNUSED,
        reason_unused="a second copy of the frequencies of positions",
    ),
    Layout(
        name="ultrasam",
        title="UltraSam",
        markers=("backbone.layers.", "label_embedding", "decoder.layers.", "bbox_head."),
        kind="ultrasam",
        names=ULTRASAM_NAMES,
        split=split_ultrasam,
        needs={"doubled_residual": True},
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
        kind="sam",
        names=SAM_NAMES,
    ),
    Layout(
        name="resnet",
        title="torchvision's ResNet",
        markers=("bn1.running_mean", "layer1.0.conv1.", "layer4.0.downsample."),
        kind="sam_unet",
        names=sam_unet.RESNET_NAMES,
        unused=(r"^fc\.",),
        reason_unused="the classifier of its training",
        part=sam_unet.BRANCH,
    ),
    OWN_LAYOUT,
)
"""From the most to the least special; the first that fits is taken. MedSAM's is SAM's."""

OFFICIAL_FILES: dict[str, str] = {
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912": "the official SAM ViT-B",
    "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622": "the official SAM ViT-L",
    "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e": "the official SAM ViT-H",
}
"""What files are by their sha256, if their publisher has never changed them."""

ENCODER_OF_WIDTH = {768: "ViT-B", 1024: "ViT-L", 1280: "ViT-H"}
NO_TRANSFORMER = "(no vision transformer of SAM's kind)"


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


def nearest_layout(names: Collection[str]) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout of which most markers are there, and those that are not."""

    def missing(layout: Layout) -> tuple[str, ...]:
        return tuple(
            marker for marker in layout.markers if not any(marker in name for name in names)
        )

    def share(layout: Layout) -> float:
        return len(missing(layout)) / len(layout.markers)

    nearest = min(LAYOUTS, key=share)
    return nearest, missing(nearest)


def guess_layout(names: Collection[str]) -> str:
    """Return in words what a file is most like whose layout no model here takes."""
    layout = recognise_layout(names)
    if layout is not None:
        return f"{layout.title}, which is known by its names alone"
    nearest, missing = nearest_layout(names)
    if len(missing) == len(nearest.markers):
        return "no layout that is known here"
    return (
        f"no layout that is known here; the nearest is {nearest.title}, but no name in it has "
        f"{' or '.join(map(repr, missing))}"
    )


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
        return NO_TRANSFORMER
    size = ENCODER_OF_WIDTH.get(widths[0], "a vision transformer of another size")
    return f"{size} ({widths[0]} wide, {len(blocks)} blocks)"
