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
