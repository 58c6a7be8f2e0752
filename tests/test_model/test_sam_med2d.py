"""SAM-Med2D is the published one, and answers with the candidate that it rates highest."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model import Prompts, Segmenter, build_segmenter, freeze, load_weights
from model.sam_med2d import PUBLISHED_NAMES
from tests.support.parity_weights import (
    image_from_seed,
    named_as_here,
    published_shapes,
    weights_from_names,
)

ONE_READOUT = 139_808
"""Parameters of the head of SAM's single mask, which SAM-Med2D never asks for."""


def boxes() -> Prompts:
    corners = torch.tensor([[4.0, 4, 40, 50], [10, 2, 30, 20], [1, 1, 60, 60], [30, 30, 50, 60]])
    return Prompts(image_index=torch.tensor([0, 1, 0, 1]), boxes=corners)


def tiny(*, starts_as_sam: bool = False) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter("sam_med2d_tiny", starts_as_sam=starts_as_sam)


def test_parameter_and_trainable_counts_are_exact() -> None:
    with torch.device("meta"):
        report = freeze(build_segmenter("sam_med2d_vit_b"), has_base=True, uses_predicted_iou=True)
    assert report.num_parameters == 271_241_776
    assert report.num_trainable == 184_569_136 - ONE_READOUT
    assert report.num_unused == ONE_READOUT


def test_every_published_tensor_has_its_place(shared_folder: Path) -> None:
    with torch.device("meta"):
        state = build_segmenter("sam_med2d_vit_b").state_dict()
    published = published_shapes(shared_folder / "parity" / "sam_med2d_vit_b.shapes.json")
    expected = {name: tuple(value.shape) for name, value in state.items()}
    assert named_as_here(published, PUBLISHED_NAMES) == expected


@pytest.mark.slow
def test_sam_med2d_equals_the_published_implementation(shared_folder: Path) -> None:
    parity = shared_folder / "parity"
    fixture = np.load(parity / "sam_med2d_vit_b.npz")
    segmenter = build_segmenter("sam_med2d_vit_b").eval()
    weights = weights_from_names(parity / "sam_med2d_vit_b.shapes.json")
    load_weights(segmenter, weights)
    prompts = Prompts(
        image_index=torch.tensor([0]), boxes=torch.from_numpy(fixture["boxes"]).float()
    )
    with torch.no_grad():
        features = segmenter.encode(image_from_seed(int(fixture["image_seed"]), channels=3))
        answer = segmenter.decode(features, prompts, multimask=True)
        best = segmenter.decode(features, prompts)
    expected, rating = fixture["low_res_logits"], fixture["iou"]
    assert answer.predicted_iou is not None
    found = answer.low_resolution_logits.numpy()
    assert np.abs(found - expected).max() < 1e-4 * expected.std()
    assert np.abs(answer.predicted_iou.numpy() - rating).max() < 1e-4 * rating.std()
    chosen = answer.low_resolution_logits[:, [int(rating[0].argmax())]]
    assert torch.equal(best.low_resolution_logits, chosen)


def test_the_habit_is_the_candidate_of_the_highest_predicted_iou() -> None:
    segmenter = tiny().eval()
    with torch.no_grad():
        features = segmenter.encode(torch.rand(2, 3, 64, 64))
        candidates = segmenter.decode(features, boxes(), multimask=True)
        single = segmenter.decode(features, boxes(), multimask=False)
        best = segmenter.decode(features, boxes())
    rating = candidates.predicted_iou
    assert rating is not None
    assert best.predicted_iou is not None
    torch.testing.assert_close(best.predicted_iou[:, 0], rating.max(dim=1).values)
    for row, chosen in enumerate(rating.argmax(dim=1)):
        expected = candidates.low_resolution_logits[row, chosen]
        assert torch.equal(best.low_resolution_logits[row, 0], expected)
    assert single.low_resolution_logits.shape == best.low_resolution_logits.shape
    assert not torch.equal(single.low_resolution_logits, best.low_resolution_logits)


@pytest.mark.parametrize("starts_as_sam", [True, False])
def test_adapters_that_start_at_zero_leave_sam_as_it_is(starts_as_sam: bool) -> None:
    med2d, sam = tiny(starts_as_sam=starts_as_sam).eval(), build_segmenter("sam_tiny").eval()
    missing, unexpected = med2d.load_state_dict(sam.state_dict(), strict=False)
    assert missing
    assert all(".beside_mlp." in name for name in missing)
    assert not unexpected
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        found, expected = (
            one(images, boxes(), multimask=True).low_resolution_logits for one in (med2d, sam)
        )
    assert torch.equal(found, expected) == starts_as_sam


def test_a_grid_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match="an even multiple of patch_stride"):
        build_segmenter("sam_med2d_vit_b", input_size=240)
