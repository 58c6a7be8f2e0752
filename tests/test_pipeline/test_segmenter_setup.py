"""What a model cannot be trained for is refused before anything expensive."""

import pytest

from pipeline import PretrainConfig, load_config
from pipeline.segmenter_setup import prepare_segmenter

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
