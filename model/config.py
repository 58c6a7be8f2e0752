"""What can be chosen about a model: its architecture, its objective, its simulated prompts.

No torch here: launchers read these classes for `--help`.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

Fit = Literal["squash", "letterbox"]
BranchNorm = Literal["layer", "instance"]

PROMPT_KINDS = frozenset({"points", "boxes", "masks"})


@dataclass(frozen=True, kw_only=True)
class SamArchitecture:
    """A vision transformer with SAM's prompt encoder and mask decoder."""

    kind: ClassVar[str] = "sam"
    """Name of the family, as `architecture.json` has it."""

    may_be_zero: ClassVar[frozenset[str]] = frozenset({"window_size"})
    """Options for which 0 means none; all other numbers are positive."""

    input_size: int = 1024
    """Side of the framed square image, in pixels."""

    fit: Fit = "letterbox"
    """How an image becomes square: squash changes its shape, letterbox pads right and below."""

    num_channels: int = 3
    """1 sees the brightness of a picture alone, 3 its colours."""

    normalises: bool = True
    """Subtract SAM's mean pixel and divide by its deviation."""

    patch_size: int = 16
    """Side of the patch kernel, in pixels."""

    patch_stride: int = 16
    """Distance of neighbouring patches, in pixels; below `patch_size` they overlap."""

    position_grid: int = 64
    """Side of the table of absolute positions, in cells."""

    width: int = 768
    """Channels of a token."""

    depth: int = 12
    """Number of transformer blocks."""

    num_heads: int = 12
    """Attention heads of a block."""

    mlp_ratio: float = 4.0
    """Hidden channels of a block's MLP, as a multiple of `width`."""

    window_size: int = 14
    """Side of an attention window, in cells; 0 makes every block global."""

    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    """Indices of the blocks that attend over the whole grid."""

    embedding_width: int = 256
    """Channels of the image embedding and of the decoder's tokens; a multiple of 8."""

    mask_prompt_channels: int = 16
    """Hidden channels of the encoder of mask prompts."""

    decoder_depth: int = 2
    """Layers of the two-way transformer."""

    decoder_heads: int = 8
    """Attention heads of the two-way transformer."""

    decoder_mlp_width: int = 2048
    """Hidden channels of the two-way transformer's MLP."""

    num_candidates: int = 3
    """Masks of a multimask answer, beside the single one."""

    doubled_residual: bool = False
    """Add the decoder's tokens to their MLP's output twice, as UltraSam's released weights need."""

    prompt_kinds: tuple[str, ...] = ("points", "boxes", "masks")
    """What a prompted model can be asked with; it refuses the rest."""

    trains_prompt_encoder: bool = True
    """Let the prompt encoder train where the rest does; MedSAM keeps SAM's."""

    def __post_init__(self) -> None:
        _refuse_channels(self.num_channels)
        if self.fit not in ("squash", "letterbox"):
            raise ValueError(f"fit is {self.fit!r}; expected squash or letterbox.")
        _refuse_what_is_not_positive(self)
        if self.input_size % self.patch_stride:
            raise ValueError(
                f"input_size is {self.input_size}; it must be a positive multiple of "
                f"patch_stride ({self.patch_stride})."
            )
        if self.patch_size < self.patch_stride:
            raise ValueError(
                f"patch_size ({self.patch_size}) is below patch_stride "
                f"({self.patch_stride}): pixels between patches would never be seen."
            )
        if self.width % self.num_heads:
            raise ValueError(
                f"width ({self.width}) must be a multiple of num_heads ({self.num_heads})."
            )
        if self.embedding_width % 8 or self.embedding_width % (2 * self.decoder_heads):
            raise ValueError(
                f"embedding_width ({self.embedding_width}) must be a multiple of 8 and of "
                f"twice decoder_heads ({self.decoder_heads})."
            )
        if not self.prompt_kinds or set(self.prompt_kinds) - PROMPT_KINDS:
            raise ValueError(
                f"prompt_kinds is {self.prompt_kinds}; expected one or more of "
                f"{', '.join(sorted(PROMPT_KINDS))}."
            )
        if any(not 0 <= block < self.depth for block in self.global_blocks):
            raise ValueError(
                f"global_blocks {self.global_blocks} names a block outside of 0..{self.depth - 1}."
            )

    @property
    def grid_size(self) -> int:
        """Side of the token grid, in cells."""
        return self.input_size // self.patch_stride


@dataclass(frozen=True, kw_only=True)
class SamusArchitecture(SamArchitecture):
    """SAMUS: a frozen SAM with a convolutional branch beside it and adapters inside."""

    kind: ClassVar[str] = "samus"

    input_size: int = 256
    fit: Fit = "squash"
    num_channels: int = 1
    normalises: bool = False
    patch_stride: int = 8

    branch_channels: tuple[int, ...] = (64, 128, 256)
    """Channels of the convolutional branch before each halving; the last stage has `width`."""

    branch_normalisation: BranchNorm = "layer"
    """What the branch normalises: the channels of each pixel, as published, or each channel over
    the image. The first makes a dark region look like a bright one of the same texture."""

    adapter_ratio: float = 0.25
    """Hidden channels of an adapter, as a multiple of `width`."""

    has_detail_skip: bool = False
    """Let masks see the branch's finer stages and the prompt as maps. Not in published SAMUS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if 2 ** len(self.branch_channels) != self.patch_stride:
            raise ValueError(
                f"branch_channels {self.branch_channels} halve the image "
                f"{len(self.branch_channels)} times, but patch_stride is "
                f"{self.patch_stride}: give log2(patch_stride) entries."
            )
        if self.branch_normalisation not in ("layer", "instance"):
            raise ValueError(
                f"model.branch_normalisation is {self.branch_normalisation!r}; expected layer or "
                "instance."
            )
        if self.has_detail_skip and self.grid_size % 4:
            raise ValueError(
                f"model.has_detail_skip halves the token grid twice, but its side is "
                f"{self.grid_size}; give model.input_size as a multiple of {4 * self.patch_stride}."
            )
        if self.has_detail_skip and len(self.branch_channels) < 2:
            raise ValueError(
                f"has_detail_skip needs two or more branch_channels, got {self.branch_channels}."
            )
        if self.position_grid % 2:
            raise ValueError(f"position_grid must be even, got {self.position_grid}.")


@dataclass(frozen=True, kw_only=True)
class UnetArchitecture:
    """MONAI's BasicUNet, which answers one mask per category without a prompt."""

    kind: ClassVar[str] = "unet"

    input_size: int = 256
    """Side of the framed square image, in pixels; a multiple of 16."""

    fit: Fit = "squash"
    """How an image becomes square: squash changes its shape, letterbox pads right and below."""

    num_channels: int = 1
    """1 sees the brightness of a picture alone, 3 its colours."""

    features: tuple[int, int, int, int, int, int] = (32, 32, 64, 128, 256, 32)
    """Channels of the five levels downwards, and of the last one upwards."""

    categories: tuple[str, ...] = ("foreground",)
    """What each output channel means, in order."""

    def __post_init__(self) -> None:
        _refuse_channels(self.num_channels)
        if self.input_size <= 0 or self.input_size % 16:
            raise ValueError(
                f"input_size is {self.input_size}; a U-Net of five levels needs a positive "
                "multiple of 16."
            )
        if not self.categories or len(set(self.categories)) != len(self.categories):
            raise ValueError(
                f"categories is {self.categories}; expected one or more different names."
            )


Architecture = SamArchitecture | UnetArchitecture


def _refuse_channels(num_channels: int) -> None:
    if num_channels not in (1, 3):
        raise ValueError(f"num_channels is {num_channels}; expected 1 or 3.")


def _refuse_what_is_not_positive(architecture: SamArchitecture) -> None:
    """Refuse numbers of 0 and below; those named in `may_be_zero` may be 0."""
    for item in fields(architecture):
        value = getattr(architecture, item.name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and (value < 0 or (value == 0 and item.name not in architecture.may_be_zero)):
            raise ValueError(f"{item.name} is {value}; it must be positive.")


@dataclass(kw_only=True)
class PromptSimulationConfig:
    """How the first prompt of an object is drawn from its reference mask while training.

    The published SAMUS, one random click inside: `box_probability=0 max_positive_points=1
    max_negative_points=0`.
    """

    box_probability: float = 0.25
    """Chance that an object is prompted by a box instead of clicks."""

    max_positive_points: int = 3
    """Clicks inside the object: 1 to this many, each number as likely."""

    max_negative_points: int = 2
    """Clicks outside of the object, close to it: 0 to this many, each number as likely."""

    negative_margin_fraction: float = 0.3
    """How far outside of the object's box clicks beside it lie at most, as a fraction of its sides
    (at least 8 pixels)."""

    box_jitter_fraction: float = 0.1
    """Largest shift of a box side in or out, as a fraction of the box's width or height."""

    box_shift_pixels: float = 0.0
    """Largest shift of the whole box along x and y, in framed pixels. SAM-UNet and SAM-Med2D train
    with 5, at 256."""

    box_margin_pixels: float = 0.0
    """Largest outward shift of each side, in framed pixels. MedSAM trains with 20, at 1024."""

    def __post_init__(self) -> None:
        limits: tuple[tuple[str, float, float], ...] = (
            ("box_probability", 0.0, 1.0),
            ("max_positive_points", 1, 100),
            ("max_negative_points", 0, 100),
            ("negative_margin_fraction", 0.0, 10.0),
            ("box_jitter_fraction", 0.0, 0.5),
            ("box_shift_pixels", 0.0, 100.0),
            ("box_margin_pixels", 0.0, 100.0),
        )
        for name, lowest, highest in limits:
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(
                    f"prompts.{name} is {value}; it must lie between {lowest} and {highest}."
                )

    @property
    def num_slots(self) -> int:
        """Points of a prompt, used or not: clicks inside, clicks outside, two box corners."""
        return self.max_positive_points + self.max_negative_points + 2
