"""SAM's vision transformer with places for what a variant adds.

Without plugs it equals the `segment-anything` package. Every plug is a module that returns a
correction; the encoder adds it. Module names are SAM's state-dict names where both have the part.

Axis names used in this file:
    image, channel, row, column      of the framed image, or of the token grid
    width                            channels of a token, where the embedding's are meant as well
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from segment_anything.modeling.common import MLPBlock
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .attention import SelfAttention
from .config import SamArchitecture
from .normalization import LayerNorm2d
from .position_adapter import Positions

Tokens = Float[Tensor, "image row column channel"]
Stage = Float[Tensor, "image _ _ _"]


@dataclass(frozen=True, kw_only=True)
class BlockPlugs:
    """What a variant adds to one transformer block."""

    before_block: nn.Module | None = None
    """All stages of the branch to what is added to the tokens before this block."""

    before_attention: nn.Module | None = None
    """(normalised tokens, branch) to what is added to the attention's input."""

    after_attention: nn.Module | None = None
    """The attention's output to what is added to it."""

    beside_mlp: nn.Module | None = None
    """Normalised tokens to what is added beside the MLP's output."""

    branch: nn.Module | None = None
    """Branch features to the features that the next blocks see."""


@dataclass(frozen=True, kw_only=True)
class EncoderPlugs:
    """What a variant adds to the encoder."""

    positions: nn.Module | None = None
    """Side of the grid to absolute positions; None takes SAM's table."""

    branch: nn.Module | None = None
    """Framed image to the stages of a branch beside the tokens; where blocks or the output take
    its state, the last stage lies on the tokens' grid."""

    after_patches: nn.Module | None = None
    """Tokens to what is added to them before the positions."""

    branch_output_scale: float = 0.0
    """How much of the branch's last state is added to the tokens before the neck."""

    block: Callable[[int], BlockPlugs] = field(default=lambda _: BlockPlugs())
    """Index of a block to its plugs."""

    tapped_blocks: tuple[int, ...] = ()
    """Blocks whose tokens are kept for the decoder."""


@dataclass(frozen=True, kw_only=True)
class EncoderOutput:
    """The image embedding, and what was seen on the way to it."""

    embedding: Float[Tensor, "image channel row column"]
    branch_stages: tuple[Stage, ...]
    taps: tuple[Float[Tensor, "image row column width"], ...]
    """Tokens after each of the tapped blocks."""


class PatchEmbed(nn.Module):
    """Patches become tokens; patches may overlap.

    With a stride below the patch size the image is first enlarged by the difference, so that the
    grid still has one token per stride.
    """

    def __init__(self, *, patch_size: int, stride: int, width: int) -> None:
        super().__init__()
        self.enlargement = patch_size - stride
        self.proj = nn.Conv2d(3, width, patch_size, stride=stride)

    def forward(self, images: Float[Tensor, "image 3 height width"]) -> Tokens:
        """Return the token grid."""
        if self.enlargement:
            size = (images.shape[2] + self.enlargement, images.shape[3] + self.enlargement)
            images = functional.interpolate(images, size, mode="bilinear", align_corners=False)
        # Tokens that only look channels-last would be copied by every layer norm of every block.
        return self.proj(images).permute(0, 2, 3, 1).contiguous()


class Block(nn.Module):
    """One transformer block, global or windowed, with its plugs."""

    def __init__(self, architecture: SamArchitecture, *, index: int, plugs: BlockPlugs) -> None:
        super().__init__()
        width = architecture.width
        self.is_global = index in architecture.global_blocks or architecture.window_size == 0
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = SelfAttention(
            width=width,
            num_heads=architecture.num_heads,
            grid_size=architecture.grid_size,
            window_size=0 if self.is_global else architecture.window_size,
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLPBlock(width, int(width * architecture.mlp_ratio))
        self.before_block = plugs.before_block
        self.before_attention = plugs.before_attention
        self.after_attention = plugs.after_attention
        self.beside_mlp = plugs.beside_mlp
        self.branch = plugs.branch

    def forward(
        self, tokens: Tokens, branch: Stage | None, stages: tuple[Stage, ...] = ()
    ) -> tuple[Tokens, Stage | None]:
        """Return the tokens and the branch after this block."""
        if self.before_block is not None:
            tokens = tokens + self.before_block(stages)
        normed = self.norm1(tokens)
        if self.before_attention is not None:
            normed = normed + self.before_attention(normed, branch)
        attended = self.attn(normed)
        if self.after_attention is not None:
            attended = attended + self.after_attention(attended)
        tokens = tokens + attended
        normed = self.norm2(tokens)
        tokens = tokens + self.mlp(normed)
        if self.beside_mlp is not None:
            tokens = tokens + self.beside_mlp(normed)
        if self.branch is not None:
            branch = self.branch(branch)
        return tokens, branch


class ImageEncoder(nn.Module):
    """Image to embedding: patches, blocks, neck, and a variant's plugs."""

    def __init__(self, architecture: SamArchitecture, *, plugs: EncoderPlugs) -> None:
        super().__init__()
        width, embedding_width = architecture.width, architecture.embedding_width
        self.use_activation_checkpointing = False
        self.branch_output_scale = plugs.branch_output_scale
        self.tapped_blocks = plugs.tapped_blocks
        self.patch_embed = PatchEmbed(
            patch_size=architecture.patch_size, stride=architecture.patch_stride, width=width
        )
        self.positions = plugs.positions or Positions(
            table_size=architecture.position_grid, width=width
        )
        self.branch = plugs.branch
        self.after_patches = plugs.after_patches
        self.blocks = nn.ModuleList(
            Block(architecture, index=index, plugs=plugs.block(index))
            for index in range(architecture.depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(width, embedding_width, 1, bias=False),
            LayerNorm2d(embedding_width),
            nn.Conv2d(embedding_width, embedding_width, 3, padding=1, bias=False),
            LayerNorm2d(embedding_width),
        )

    def forward(self, images: Float[Tensor, "image 3 row column"]) -> EncoderOutput:
        """Return the embedding of framed and normalised images."""
        stages = tuple(self.branch(images)) if self.branch is not None else ()
        branch = stages[-1] if stages else None
        tokens = self.patch_embed(images)
        if self.after_patches is not None:
            tokens = tokens + self.after_patches(tokens)
        tokens = tokens + self.positions(tokens.shape[1])
        taps = []
        for index, block in enumerate(self.blocks):
            if self.use_activation_checkpointing and self.training:
                tokens, branch = checkpoint(block, tokens, branch, stages, use_reentrant=False)
            else:
                tokens, branch = block(tokens, branch, stages)
            if index in self.tapped_blocks:
                taps.append(tokens)
        merged = tokens.permute(0, 3, 1, 2)
        if branch is not None and self.branch_output_scale:
            merged = merged + self.branch_output_scale * branch
        return EncoderOutput(embedding=self.neck(merged), branch_stages=stages, taps=tuple(taps))
