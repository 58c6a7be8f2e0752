"""Without plugs, with the same weights, the parts equal the `segment-anything` package."""

import pytest
import segment_anything.modeling as sam
import torch
from segment_anything.modeling.transformer import TwoWayTransformer as SamTwoWayTransformer
from torch import nn

from model import Prompts, SamArchitecture
from model.image_encoder import EncoderPlugs, ImageEncoder
from model.mask_decoder import MaskDecoder
from model.prompt_encoder import PromptEncoder
from tests.support.parity_weights import tensor_from_name

RENAMED = {
    "pos_embed": "positions.table.weight",
    "attn.rel_pos_h": "attn.relative_positions.rows",
    "attn.rel_pos_w": "attn.relative_positions.columns",
}


class FineLayerNorm(nn.LayerNorm):
    """The layer norm that SAM is built with."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)


def small_sam(*, window_size: int, input_size: int = 96) -> SamArchitecture:
    return SamArchitecture(
        input_size=input_size,
        patch_size=8,
        patch_stride=8,
        position_grid=input_size // 8,
        width=32,
        depth=3,
        num_heads=2,
        window_size=window_size,
        global_blocks=(1,),
        embedding_width=32,
        mask_prompt_channels=8,
        decoder_heads=2,
        decoder_mlp_width=48,
    )


def randomised(module: nn.Module) -> nn.Module:
    for name, tensor in module.state_dict().items():
        tensor.copy_(torch.from_numpy(tensor_from_name(name, shape=tuple(tensor.shape))))
    return module.eval()


def renamed(name: str) -> str:
    for theirs, ours in RENAMED.items():
        name = name.replace(theirs, ours)
    return name


# A grid of 12 cells: 4 divides it, 5 and 7 leave windows of padding, 14 is larger than the grid.
@pytest.mark.parametrize("window_size", [0, 4, 5, 7, 14])
def test_encoder_equals_sam_with_whole_and_padded_windows(window_size: int) -> None:
    architecture = small_sam(window_size=window_size)
    theirs = randomised(
        sam.ImageEncoderViT(
            img_size=96,
            patch_size=8,
            embed_dim=32,
            depth=3,
            num_heads=2,
            out_chans=32,
            norm_layer=FineLayerNorm,
            use_rel_pos=True,
            window_size=window_size,
            global_attn_indexes=(1,),
        )
    )
    ours = ImageEncoder(architecture, plugs=EncoderPlugs()).eval()
    ours.load_state_dict({renamed(name): value for name, value in theirs.state_dict().items()})
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        torch.testing.assert_close(ours(images).embedding, theirs(images), rtol=1e-5, atol=1e-5)


def their_decoder(architecture: SamArchitecture) -> tuple[sam.PromptEncoder, sam.MaskDecoder]:
    side, width = architecture.grid_size, architecture.embedding_width
    prompt_encoder = sam.PromptEncoder(
        embed_dim=width,
        image_embedding_size=(side, side),
        input_image_size=(architecture.input_size, architecture.input_size),
        mask_in_chans=architecture.mask_prompt_channels,
    )
    mask_decoder = sam.MaskDecoder(
        transformer_dim=width,
        transformer=SamTwoWayTransformer(
            depth=2, embedding_dim=width, mlp_dim=48, num_heads=architecture.decoder_heads
        ),
        num_multimask_outputs=3,
        iou_head_hidden_dim=width,
    )
    randomised(prompt_encoder)
    randomised(mask_decoder)
    return prompt_encoder, mask_decoder


POINTS = torch.tensor([[[10.0, 30.0], [80.0, 5.0]]])
LABELS = torch.tensor([[1, 0]])
BOX = torch.tensor([[4.0, 6.0, 70.0, 90.0]])
MASK = torch.linspace(-3, 3, 48 * 48).reshape(1, 1, 48, 48)


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("kinds", ["points", "boxes", "points boxes", "masks", "points masks"])
def test_prompts_and_masks_equal_sam(kinds: str, multimask: bool) -> None:
    architecture = small_sam(window_size=0)
    their_prompts, their_masks = their_decoder(architecture)
    prompt_encoder, mask_decoder = PromptEncoder(architecture), MaskDecoder(architecture)
    prompt_encoder.load_state_dict(their_prompts.state_dict())
    mask_decoder.load_state_dict(their_masks.state_dict())
    has_points, has_boxes = "points" in kinds, "boxes" in kinds
    embedding = torch.randn(2, 32, 12, 12, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        sparse, dense = their_prompts(
            (POINTS, LABELS) if has_points else None,
            BOX if has_boxes else None,
            MASK if "masks" in kinds else None,
        )
        expected = their_masks(
            embedding[1:], their_prompts.get_dense_pe(), sparse, dense, multimask
        )
        prompts = Prompts(
            image_index=torch.tensor([1]),
            points=POINTS if has_points else None,
            point_labels=LABELS if has_points else None,
            boxes=BOX if has_boxes else None,
            mask_logits=MASK if "masks" in kinds else None,
        )
        found = mask_decoder(
            embedding,
            prompt_encoder(prompts),
            image_index=prompts.image_index,
            grid_positions=prompt_encoder.grid_positions(),
            multimask=multimask,
        )
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-5)


def test_boxes_equal_two_points_labelled_as_corners() -> None:
    architecture = small_sam(window_size=0)
    encoder = PromptEncoder(architecture).eval()
    decoder = MaskDecoder(architecture).eval()
    embedding = torch.randn(1, 32, 12, 12)
    index = torch.tensor([0])
    as_points = Prompts(
        image_index=index, points=BOX.unflatten(1, (2, 2)), point_labels=torch.tensor([[2, 3]])
    )
    with torch.no_grad():
        masks = [
            decoder(
                embedding,
                encoder(prompts),
                image_index=index,
                grid_positions=encoder.grid_positions(),
            )[0]
            for prompts in (Prompts(image_index=index, boxes=BOX), as_points)
        ]
    torch.testing.assert_close(masks[0], masks[1], rtol=1e-5, atol=1e-5)


def test_absent_points_change_no_mask_but_would_as_sams_padding() -> None:
    architecture = small_sam(window_size=0)
    their_prompts, their_masks = their_decoder(architecture)
    encoder, decoder = PromptEncoder(architecture), MaskDecoder(architecture)
    encoder.load_state_dict(their_prompts.state_dict())
    decoder.load_state_dict(their_masks.state_dict())
    embedding = torch.randn(1, 32, 12, 12, generator=torch.Generator().manual_seed(6))
    points = torch.cat([POINTS, torch.full((1, 2, 2), 40.0)], dim=1)
    labels = torch.tensor([[1, 0, -1, -1]])
    index = torch.tensor([0])
    with torch.no_grad():
        ours = [
            decoder(
                embedding,
                encoder(Prompts(image_index=index, points=some, point_labels=kinds)),
                image_index=index,
                grid_positions=encoder.grid_positions(),
            )[0]
            for some, kinds in ((POINTS, LABELS), (points, labels))
        ]
        sparse, dense = their_prompts((points, labels), None, None)
        padded = their_masks(embedding, their_prompts.get_dense_pe(), sparse, dense, False)[0]
    torch.testing.assert_close(ours[0], ours[1], rtol=1e-5, atol=1e-5)
    assert (padded - ours[0]).abs().max() > 0.1 * ours[0].std()
