"""SAM-UNet is the published one, its branch is torchvision's, and its prefix stays frozen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from model import Prompts, build_segmenter, freeze, load_weights
from model.residual_branch import Reshaper, ResidualBranch
from model.sam_unet import PUBLISHED_NAMES, SamUnetSegmenter
from model.sam_unet_config import SamUnetArchitecture
from tests.support.parity_weights import (
    image_from_seed,
    named_as_here,
    published_shapes,
    weights_from_names,
)

COUNTS = {
    "sam_unet_res34_vit_b": (116_019_884, 29_347_244),
    "sam_unet_res50_vit_b": (138_428_204, 51_755_564),
}


def tiny(**overrides: int) -> SamUnetSegmenter:
    torch.manual_seed(0)
    segmenter = build_segmenter("sam_unet_tiny", **overrides)
    assert isinstance(segmenter, SamUnetSegmenter)
    return segmenter


def box(*corners: float) -> Prompts:
    return Prompts(
        image_index=torch.tensor([0]), boxes=torch.tensor([corners], dtype=torch.float32)
    )


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_and_trainable_counts_are_exact(name: str) -> None:
    with torch.device("meta"):
        report = freeze(build_segmenter(name), has_base=True)
    assert (report.num_parameters, report.num_trainable) == COUNTS[name]


def test_every_published_tensor_has_its_place(shared_folder: Path) -> None:
    with torch.device("meta"):
        state = build_segmenter("sam_unet_res34_vit_b").state_dict()
    published = published_shapes(shared_folder / "parity" / "sam_unet_res34_vit_b.shapes.json")
    expected = {name: tuple(value.shape) for name, value in state.items()}
    assert named_as_here(published, PUBLISHED_NAMES) == expected


@pytest.mark.slow
def test_sam_unet_equals_the_published_implementation(shared_folder: Path) -> None:
    parity = shared_folder / "parity"
    fixture = np.load(parity / "sam_unet_res34_vit_b.npz")
    segmenter = build_segmenter("sam_unet_res34_vit_b").eval()
    weights = weights_from_names(parity / "sam_unet_res34_vit_b.shapes.json")
    load_weights(segmenter, weights)
    image = image_from_seed(int(fixture["image_seed"]), channels=3)
    with torch.no_grad():
        answer = segmenter(image, box(*fixture["boxes"][0].tolist()))
    expected = fixture["low_res_logits"]
    found = answer.low_resolution_logits.numpy()
    assert np.abs(found - expected).max() < 1e-4 * expected.std()
    assert answer.predicted_iou is None


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_the_branch_is_torchvisions_resnet(block: type[BasicBlock | Bottleneck]) -> None:
    theirs = ResNet(block, [1, 2, 1, 1]).double().eval()
    ours = ResidualBranch(
        SamUnetArchitecture(branch_blocks=(1, 2, 1, 1), branch_has_bottlenecks=block is Bottleneck)
    )
    names = [(r"^conv1\.", "stages.0.0."), (r"^bn1\.", "stages.0.1."), (r"^layer", "stages.")]
    ours.double().eval()
    ours.load_state_dict(named_as_here(theirs.state_dict(), names, unused=[r"^fc\."]))
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        stages = ours(images)
        expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        for stage, layer in zip(stages, ("layer1", "layer2", "layer3", "layer4"), strict=True):
            expected = getattr(theirs, layer)(expected)
            torch.testing.assert_close(stage, expected)


@pytest.mark.parametrize("patch_stride", [4, 16, 32])
def test_stages_meet_the_tokens_on_any_grid(patch_stride: int) -> None:
    segmenter = tiny(patch_stride=patch_stride, patch_size=patch_stride)
    answer = segmenter(torch.rand(1, 3, 64, 64), box(4, 4, 40, 50))
    assert answer.low_resolution_logits.shape == (1, 1, 256 // patch_stride, 256 // patch_stride)


def test_without_its_branch_the_embedding_is_sams() -> None:
    segmenter = tiny().eval()
    sam = build_segmenter(
        "sam_tiny",
        input_size=64,
        depth=segmenter.architecture.depth,
        global_blocks=segmenter.architecture.global_blocks,
    ).eval()
    missing, _ = sam.load_state_dict(segmenter.state_dict(), strict=False)
    assert {name.split(".")[1] for name in missing} == {
        part.split(".")[1] for part in SamUnetSegmenter.removed_from_sam
    }
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        with_branch = segmenter.encode(images).embedding
        for module in segmenter.modules():
            if isinstance(module, Reshaper):
                module.layers[-1].get_parameter("weight").zero_()
                module.layers[-1].get_parameter("bias").zero_()
        expected = sam.encode(images).embedding
        torch.testing.assert_close(segmenter.encode(images).embedding, expected)
    assert not torch.allclose(with_branch, expected, atol=1e-3)


@pytest.mark.parametrize("checkpoints", [False, True])
def test_the_frozen_prefix_is_in_no_graph_and_runs_once(checkpoints: bool) -> None:
    segmenter = tiny().train()
    freeze(segmenter, has_base=True)
    segmenter.set_activation_checkpointing(checkpoints)
    started, has_graph = list[int](), list[bool]()
    for index, block in enumerate(segmenter.image_encoder.blocks):
        block.register_forward_pre_hook(lambda *_, at=index: started.append(at))
        block.register_forward_hook(lambda *found: has_graph.append(found[-1][0].requires_grad))
    answer = segmenter(torch.rand(2, 3, 64, 64), box(4, 4, 40, 50))
    assert has_graph == [False, True, True, True, True]
    answer.low_resolution_logits.square().sum().backward()
    assert sorted(started) == sorted([0, 1, 2, 3, 4] + ([1, 2, 3, 4] if checkpoints else []))


def test_several_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="answers each prompt with one mask"):
        tiny()(torch.rand(1, 3, 64, 64), box(4, 4, 40, 50), multimask=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"branch_blocks": (1, 1, 1)}, "one positive number for each of the global_blocks"),
        ({"branch_channels": (8, 0, 8, 8)}, "one positive number for each of the global_blocks"),
        ({"input_size": 272}, "a multiple of 32 and a power of 2"),
        ({"input_size": 288, "patch_stride": 12}, "a multiple of 32 and a power of 2"),
    ],
)
def test_branches_that_do_not_meet_the_tokens_are_refused(
    overrides: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_segmenter("sam_unet_res34_vit_b", **overrides)
