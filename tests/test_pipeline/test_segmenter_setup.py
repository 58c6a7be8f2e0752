"""What a model cannot be trained for is refused before anything expensive."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torchvision

from model import PRESETS, SamArchitecture
from pipeline import PretrainConfig, load_config
from pipeline.segmenter_setup import initialize_segmenter, prepare_segmenter
from tests.support.small_sam import small_sam

NEEDED = ("run.name=a", "data.train=corpus", "model.preset=sam_unet_tiny")


def load(*words: str) -> PretrainConfig:
    return load_config(PretrainConfig, [*NEEDED, *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("objective.kind=focal_dice_iou",), "which sam_unet_tiny does not. Choose objective.iou"),
        (("candidates_in_last_pass=true",), "several masks, which sam_unet_tiny cannot"),
    ],
)
def test_a_model_of_one_unrated_mask_is_not_trained_for_more(
    words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        prepare_segmenter(load(*words), categories=())


@pytest.mark.slow
def test_a_resnet_is_a_start_and_no_base(tmp_path: Path) -> None:
    resnet = tmp_path / "resnet34.pth"
    torch.save(torchvision.models.resnet34().state_dict(), resnet)
    overrides = (
        "model.overrides.depth=4",
        "model.overrides.global_blocks=[0,1,2,3]",
        "model.overrides.branch_blocks=[3,4,6,3]",
        "model.overrides.branch_channels=[64,128,256,512]",
    )
    with pytest.raises(ValueError, match=r"resnet34.pth .* start from it with initialize_from="):
        prepare_segmenter(load(*overrides, f"model.base={resnet}"), categories=())
    sam = tmp_path / "sam.pth"
    architecture = dataclasses.replace(PRESETS["sam_tiny"], depth=4, global_blocks=(0, 1, 2, 3))
    assert isinstance(architecture, SamArchitecture)
    torch.save(small_sam(architecture).state_dict(), sam)
    prepared = prepare_segmenter(load(*overrides, f"model.base={sam}"), categories=())
    initialize_segmenter(prepared, source=str(resnet), registry="")
    branch = "image_encoder.branch."
    assert any(name.startswith(branch) for name in prepared.saved_names)


def test_a_model_of_one_unrated_mask_trains_by_focal_loss_and_dice() -> None:
    config = load("objective.kind=focal_dice_iou", "objective.iou_weight=0")
    prepared = prepare_segmenter(config, categories=())
    assert all(weight.requires_grad for weight in prepared.segmenter.parameters())
    buffers = {name for name, _ in prepared.segmenter.named_buffers()}
    assert "image_encoder.branch.stages.0.1.running_mean" in buffers & prepared.saved_names


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ("boxes", "would ask with points. Set prompts.box_probability=1 num_error_clicks=0"),
        ("points,masks", "would ask with boxes. Set prompts.box_probability=0"),
        ("points,boxes", "would ask with masks. Set num_error_clicks=0 num_mask_refinements=0"),
    ],
)
def test_a_model_is_not_trained_with_prompts_that_it_does_not_take(kinds: str, said: str) -> None:
    only = f"model.overrides={{prompt_kinds: [{kinds}]}}"
    with pytest.raises(ValueError, match=said):
        prepare_segmenter(load("model.preset=sam_tiny", only), categories=())


def test_a_model_of_boxes_alone_is_trained_with_boxes() -> None:
    words = ("model.preset=medsam_tiny", "prompts.box_probability=1", "num_error_clicks=0")
    segmenter = prepare_segmenter(load(*words), categories=()).segmenter
    frozen = {name.split(".")[0] for name, p in segmenter.named_parameters() if not p.requires_grad}
    assert "prompt_encoder" in frozen
