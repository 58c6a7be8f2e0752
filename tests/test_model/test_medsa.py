"""Med-SA is the published one, and starts as SAM."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model import Prompts, Segmenter, build_segmenter, freeze
from model.adapter import Adapter
from model.medsa import PUBLISHED_NAMES, PUBLISHED_UNUSED
from model.sam import SamSegmenter
from tests.support.parity_weights import (
    image_from_seed,
    named_as_here,
    published_shapes,
    tensor_from_name,
    weights_from_names,
)

DECODER = 4_058_340
"""Parameters of SAM's mask decoder, which trains whole as published."""

COUNTS = {"medsa_vit_b": (93_735_472, 7_100_928), "medsa_vit_h": (641_090_608, 52_531_200)}
"""Parameters of SAM, and of the adapters that act on images."""


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_and_trainable_counts_are_exact(name: str) -> None:
    in_sam, in_adapters = COUNTS[name]
    with torch.device("meta"):
        segmenter = build_segmenter(name)
        report = freeze(segmenter, has_base=True)
    adapters = [module for module in segmenter.modules() if isinstance(module, Adapter)]
    assert sum(p.numel() for one in adapters for p in one.parameters()) == in_adapters
    assert report.num_parameters == in_sam + in_adapters
    assert report.num_trainable + report.num_unused == in_adapters + DECODER


def encoder_parts(published: Path) -> dict[str, torch.Tensor]:
    found = named_as_here(weights_from_names(published), PUBLISHED_NAMES, unused=PUBLISHED_UNUSED)
    return {name.removeprefix("image_encoder."): value for name, value in found.items()}


def test_every_published_tensor_has_its_place(shared_folder: Path) -> None:
    with torch.device("meta"):
        state = build_segmenter("medsa_vit_b", input_size=224).state_dict()
    published = published_shapes(shared_folder / "parity" / "medsa_vit_b_encoder.shapes.json")
    expected = {name: tuple(v.shape) for name, v in state.items() if "image_encoder" in name}
    assert named_as_here(published, PUBLISHED_NAMES, unused=PUBLISHED_UNUSED) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("position_grid", "output"), [(64, "image_embedding"), (14, "image_embedding_pos14")]
)
def test_the_encoder_equals_the_published_implementation(
    shared_folder: Path, position_grid: int, output: str
) -> None:
    parity = shared_folder / "parity"
    fixture = np.load(parity / "medsa_vit_b_encoder.npz")
    segmenter = build_segmenter("medsa_vit_b", input_size=224, position_grid=position_grid).eval()
    assert isinstance(segmenter, SamSegmenter)
    weights = encoder_parts(parity / "medsa_vit_b_encoder.shapes.json")
    if position_grid != 64:
        weights |= {"positions.table.weight": table_from_name((1, position_grid, position_grid))}
    segmenter.image_encoder.load_state_dict(weights)
    image = image_from_seed(int(fixture["image_seed"]), channels=3, size=224)
    with torch.no_grad():
        found = segmenter.encode(image).embedding[:, ::8].numpy()
    expected = fixture[output]
    assert np.abs(found - expected).max() < 1e-4 * expected.std()


def table_from_name(sides: tuple[int, int, int]) -> torch.Tensor:
    values = tensor_from_name("image_encoder.pos_embed", shape=(*sides, 768))
    return torch.from_numpy(values)


def medsa_on_sam(*, starts_as_sam: bool) -> tuple[Segmenter, Segmenter]:
    torch.manual_seed(0)
    medsa = build_segmenter("medsa_tiny", starts_as_sam=starts_as_sam).eval()
    sam = build_segmenter("sam_tiny").eval()
    missing, unexpected = medsa.load_state_dict(sam.state_dict(), strict=False)
    added = [name for name, part in medsa.named_modules() if isinstance(part, Adapter)]
    assert {name.rsplit(".", 2)[0] for name in missing} == set(added)
    assert not unexpected
    return medsa, sam


@pytest.mark.parametrize("starts_as_sam", [True, False])
def test_adapters_that_start_at_zero_leave_sam_as_it_is(starts_as_sam: bool) -> None:
    medsa, sam = medsa_on_sam(starts_as_sam=starts_as_sam)
    prompts = Prompts(image_index=torch.tensor([0]), boxes=torch.tensor([[4.0, 4, 40, 50]]))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = (one(images, prompts).low_resolution_logits for one in (medsa, sam))
    assert torch.equal(found, expected) == starts_as_sam


def test_adapters_and_decoder_train_and_all_else_stays() -> None:
    segmenter = build_segmenter("medsa_tiny")
    freeze(segmenter, has_base=True)
    parts = (".after_attention.", ".beside_mlp.", "mask_decoder.")
    training = [name for name, weight in segmenter.named_parameters() if weight.requires_grad]
    assert {part for part in parts for name in training if part in name} == set(parts)
    assert all(any(part in name for part in parts) for name in training)


def test_positions_off_their_grid_are_bicubic() -> None:
    segmenter = build_segmenter("medsa_tiny", input_size=32)
    assert isinstance(segmenter, SamSegmenter)
    table = torch.arange(64.0).reshape(1, 8, 8, 1).square().expand(-1, -1, -1, 48)
    with torch.no_grad():
        segmenter.get_parameter("image_encoder.positions.table.weight").copy_(table)
        found = segmenter.image_encoder.positions(4)[0, :, :, 0]
    expected = torch.nn.functional.interpolate(
        table[:, :, :, :1].permute(0, 3, 1, 2), (4, 4), mode="bicubic", align_corners=False
    )[0, 0]
    torch.testing.assert_close(found, expected)
