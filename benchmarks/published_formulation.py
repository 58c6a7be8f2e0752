"""SAMUS computed the way it was published, with the weights of our segmenter.

The baseline of the model benchmarks: softmax attention spelled out, the padding of windows
projected, the position adapter computed at every call, contiguous tensors, and one encoding per
mask. It computes the same function; a test holds it to that.
"""

import torch
from jaxtyping import Float
from segment_anything.modeling.image_encoder import (
    add_decomposed_rel_pos,
    window_partition,
    window_unpartition,
)
from torch import Tensor, nn
from torch.nn import functional

from model import Prompts, SamusSegmenter
from model.attention import SelfAttention
from model.cnn_branch import CnnBranch, ConvolutionStage
from model.cross_branch_attention import CrossBranchAttention
from model.image_encoder import Block
from model.normalization import LayerNorm2d
from model.position_adapter import PositionAdapter

Tokens = Float[Tensor, "image row column channel"]
Features = Float[Tensor, "image channel row column"]


class PublishedFormulation(nn.Module):
    """The same weights, the published way."""

    def __init__(self, segmenter: SamusSegmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(
        self, images: Float[Tensor, "image 1 row column"], prompts: Prompts
    ) -> Float[Tensor, "prompt 1 _ _"]:
        """Encode the image of every prompt anew, and decode."""
        embedding = self.encode(images.index_select(0, prompts.image_index))
        segmenter = self.segmenter
        one_each = torch.arange(prompts.num_prompts, device=images.device)
        return _decode(segmenter, embedding, prompts, image_index=one_each)

    def encode(self, images: Float[Tensor, "image 1 row column"]) -> Features:
        """Return the image embedding."""
        encoder = self.segmenter.image_encoder
        assert isinstance(encoder.branch, CnnBranch)
        assert encoder.after_patches is not None
        images = images.repeat(1, 3, 1, 1)
        branch = images
        for index, stage in enumerate(encoder.branch.stages):
            assert isinstance(stage, ConvolutionStage)
            branch = _convolution_stage(stage, encoder.branch.halve(branch) if index else branch)
        tokens = encoder.patch_embed(images).contiguous()
        tokens = tokens + encoder.after_patches(tokens)
        assert isinstance(encoder.positions, PositionAdapter)
        tokens = tokens + _positions(encoder.positions, like=tokens)
        for block in encoder.blocks:
            assert isinstance(block, Block)
            tokens, branch = _block(block, tokens, branch)
        merged = tokens + 0.5 * branch.permute(0, 2, 3, 1)
        features = merged.permute(0, 3, 1, 2).contiguous()
        for layer in encoder.neck:
            features = _norm(layer, features) if isinstance(layer, LayerNorm2d) else layer(features)
        return features


def _positions(adapter: PositionAdapter, *, like: Tokens) -> Tokens:
    table = functional.max_pool2d(adapter.table.weight.permute(0, 3, 1, 2).contiguous(), 2)
    adapted = _convolution_stage(adapter.refinement, table)
    if adapted.shape[-1] != like.shape[1]:
        adapted = functional.interpolate(adapted, like.shape[1:3], mode="bilinear")
    return adapted.permute(0, 2, 3, 1).repeat(like.shape[0], 1, 1, 1)


def _block(block: Block, tokens: Tokens, branch: Features) -> tuple[Tokens, Features]:
    normed = block.norm1(tokens)
    size, side = (normed.shape[1], normed.shape[2]), block.attn.window_size
    padded_size = size
    if side:
        normed, padded_size = window_partition(normed, side)
    elif isinstance(block.before_attention, CrossBranchAttention):
        normed = normed + _cross_attention(block.before_attention, normed, branch)
    if isinstance(block.branch, ConvolutionStage):
        branch = _convolution_stage(block.branch, branch)
    attended = _attention(block.attn, normed)
    if side:
        attended = window_unpartition(attended, side, padded_size, size)
    tokens = tokens + attended
    normed = block.norm2(tokens)
    tokens = tokens + block.mlp(normed)
    if block.beside_mlp is not None:
        tokens = tokens + block.beside_mlp(normed)
    return tokens, branch


def _attention(layer: SelfAttention, tokens: Tokens) -> Tokens:
    num_windows, height, width, channels = tokens.shape
    heads = layer.num_heads
    qkv = layer.qkv(tokens).reshape(num_windows, height * width, 3, heads, -1)
    queries, keys, values = (
        qkv.permute(2, 0, 3, 1, 4).reshape(3, num_windows * heads, height * width, -1).unbind(0)
    )
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    offsets = layer.relative_positions
    size = (height, width)
    scores = add_decomposed_rel_pos(scores, queries, offsets.rows, offsets.columns, size, size)
    gathered = scores.softmax(dim=-1) @ values
    gathered = gathered.view(num_windows, heads, height, width, -1).permute(0, 2, 3, 1, 4)
    return layer.proj(gathered.reshape(num_windows, height, width, channels))


def _cross_attention(layer: CrossBranchAttention, tokens: Tokens, branch: Features) -> Tokens:
    def split(projected: Tokens) -> Float[Tensor, "_ token channel"]:
        cells = projected.reshape(tokens.shape[0], -1, layer.num_heads, head_width)
        return cells.permute(0, 2, 1, 3).reshape(-1, cells.shape[1], head_width)

    head_width = tokens.shape[-1] // layer.num_heads
    cells = branch.permute(0, 2, 3, 1)
    queries, keys, values = (
        split(layer.query(tokens)),
        split(layer.key(cells)),
        split(layer.value(cells)),
    )
    scores = (queries * head_width**-0.5) @ keys.transpose(-2, -1)
    gathered = (scores.softmax(dim=-1) @ values).view(
        tokens.shape[0], layer.num_heads, -1, head_width
    )
    return layer.projection(gathered.permute(0, 2, 1, 3).reshape(tokens.shape))


def _convolution_stage(stage: ConvolutionStage, features: Features) -> Features:
    assert isinstance(stage.norm, LayerNorm2d), "published branches are normalised by layer"
    return functional.gelu(_norm(stage.norm, stage.convolution(features.contiguous())))


def _norm(norm: LayerNorm2d, features: Features) -> Features:
    mean = features.mean(1, keepdim=True)
    variance = (features - mean).pow(2).mean(1, keepdim=True)
    normed = (features - mean) / torch.sqrt(variance + norm.eps)
    return norm.weight[:, None, None] * normed + norm.bias[:, None, None]


def _decode(
    segmenter: SamusSegmenter, embedding: Features, prompts: Prompts, *, image_index: Tensor
) -> Float[Tensor, "prompt 1 _ _"]:
    """Decode as ours does: it is a hundredth of the work, and the ratios are of the encoder."""
    masks, _ = segmenter.mask_decoder(
        embedding,
        segmenter.prompt_encoder(prompts),
        image_index=image_index,
        grid_positions=segmenter.prompt_encoder.grid_positions(),
    )
    return masks
