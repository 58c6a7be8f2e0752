"""What a predicted mask costs, against values worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import sigmoid_focal_loss

from model.objective_config import ObjectiveConfig
from model.objectives import (
    focal_loss,
    intersection_over_union,
    object_losses,
    resize_targets,
    soft_dice_loss,
    weighted_cross_entropy,
)
from model.prompts import MaskPrediction

HALF = torch.zeros(1, 1, 2, 2)
"""Logits of probability 0.5 on four pixels."""

ONE_PIXEL = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])


def prediction_of(logits: torch.Tensor, iou: torch.Tensor | None = None) -> MaskPrediction:
    return MaskPrediction(low_resolution_logits=logits, predicted_iou=iou)


def test_dice_with_squares_of_an_even_guess_is_what_a_hand_computes():
    # Overlap 0.5; squares 4 * 0.25 + 1 = 2: Dice 2 * 0.5 / 2 = 0.5.
    loss = soft_dice_loss(HALF, targets=ONE_PIXEL, smoothing=1e-5, squared=True)
    assert loss.item() == pytest.approx(0.5, abs=1e-5)


def test_dice_without_squares_of_an_even_guess_is_what_a_hand_computes():
    # Overlap 0.5; sizes 4 * 0.5 + 1 = 3; with a smoothing of one pixel (1 + 1) / (3 + 1) = 0.5.
    loss = soft_dice_loss(HALF, targets=ONE_PIXEL, smoothing=1.0, squared=False)
    assert loss.item() == pytest.approx(0.5)
    loss = soft_dice_loss(HALF, targets=ONE_PIXEL, smoothing=1e-6, squared=False)
    assert loss.item() == pytest.approx(2 / 3, abs=1e-5)


def test_a_foreground_pixel_counts_twice_in_the_cross_entropy():
    loss = weighted_cross_entropy(HALF, targets=ONE_PIXEL, positive_weight=2.0)
    assert loss.item() == pytest.approx((2 + 3) / 4 * math.log(2))


def test_focal_loss_of_an_even_guess_is_what_a_hand_computes():
    loss = focal_loss(HALF, targets=ONE_PIXEL, alpha=0.25, gamma=2.0)
    assert loss.item() == pytest.approx((0.25 + 3 * 0.75) / 4 * 0.25 * math.log(2))


def test_focal_loss_agrees_with_torchvision():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 2, 5, 7, generator=generator)
    targets = (torch.rand(3, 2, 5, 7, generator=generator) > 0.5).float()
    ours = focal_loss(logits, targets=targets, alpha=0.3, gamma=1.5)
    theirs = sigmoid_focal_loss(logits, targets, alpha=0.3, gamma=1.5).mean(dim=(-2, -1))
    torch.testing.assert_close(ours, theirs)


def test_the_published_sum_is_the_default():
    losses = object_losses(prediction_of(HALF), targets=ONE_PIXEL[0], config=ObjectiveConfig())
    assert losses["dice"].item() == pytest.approx(0.8 * 0.5, abs=1e-5)
    assert losses["bce"].item() == pytest.approx(0.2 * 5 / 4 * math.log(2))
    assert losses["total"].item() == pytest.approx(0.4 + 0.25 * math.log(2), abs=1e-5)
    assert set(losses) == {"dice", "bce", "total"}


def test_each_object_is_judged_by_itself():
    logits = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    targets = torch.zeros(3, 4, 4)
    targets[0, 0, 0] = targets[1, 1:3, 1:3] = targets[2] = 1
    together = object_losses(prediction_of(logits), targets=targets, config=ObjectiveConfig())
    for index in range(3):
        alone = object_losses(
            prediction_of(logits[index : index + 1]),
            targets=targets[index : index + 1],
            config=ObjectiveConfig(),
        )
        torch.testing.assert_close(together["total"][index : index + 1], alone["total"])


def test_the_iou_of_empty_missed_and_halved_masks():
    certain = torch.tensor([[[[9.0, 9.0], [-9.0, -9.0]]]])
    assert intersection_over_union(certain, targets=ONE_PIXEL).item() == pytest.approx(0.5)
    assert intersection_over_union(-9 - HALF, targets=ONE_PIXEL).item() == 0
    assert intersection_over_union(-9 - HALF, targets=HALF).item() == 1


def test_the_predicted_iou_is_regressed_on_the_measured_one():
    logits = torch.tensor([[[[9.0, 9.0], [-9.0, -9.0]]]])
    guess = torch.tensor([[0.2]], requires_grad=True)
    config = ObjectiveConfig(kind="focal_dice_iou")
    losses = object_losses(prediction_of(logits, guess), targets=ONE_PIXEL[0], config=config)
    assert losses["iou"].item() == pytest.approx(0.3**2)
    losses["total"].sum().backward()
    assert guess.grad is not None
    assert guess.grad.item() == pytest.approx(2 * (0.2 - 0.5))


def test_only_the_best_candidate_gets_a_gradient():
    logits = torch.stack([-5 * torch.ones(2, 2), torch.tensor([[5.0, -5.0], [-5.0, -5.0]])])[None]
    logits.requires_grad_()
    guess = torch.full((1, 2), 0.5, requires_grad=True)
    config = ObjectiveConfig(kind="focal_dice_iou")
    losses = object_losses(prediction_of(logits, guess), targets=ONE_PIXEL[0], config=config)
    losses["total"].sum().backward()
    assert logits.grad is not None
    assert guess.grad is not None
    assert logits.grad[0, 0].abs().max() == 0
    assert logits.grad[0, 1].abs().min() > 0
    assert guess.grad[0].tolist() == [0, pytest.approx(2 * (0.5 - 1.0))]
    assert losses["iou"].item() == pytest.approx(0.25)


def test_a_model_without_an_iou_head_is_told_which_objective_to_choose():
    config = ObjectiveConfig(kind="focal_dice_iou")
    with pytest.raises(ValueError, match=r"objective\.kind=dice_bce"):
        object_losses(prediction_of(HALF), targets=ONE_PIXEL[0], config=config)


def test_a_model_without_an_iou_head_can_have_the_other_terms_of_sams_loss():
    config = ObjectiveConfig(kind="focal_dice_iou", iou_weight=0.0)
    losses = object_losses(prediction_of(HALF), targets=ONE_PIXEL[0], config=config)
    assert set(losses) == {"focal", "dice", "total"}


@pytest.mark.parametrize("kind", ["dice_bce", "focal_dice_iou"])
@pytest.mark.parametrize("candidates", [1, 3])
def test_no_objects_give_empty_losses_that_are_in_the_graph(kind, candidates):
    weights = torch.ones(1, requires_grad=True)
    logits = weights * torch.zeros(0, candidates, 8, 8)
    iou = weights * torch.zeros(0, candidates)
    losses = object_losses(
        prediction_of(logits, iou),
        targets=torch.zeros(0, 16, 16),
        config=ObjectiveConfig(kind=kind),
    )
    assert all(term.shape == (0,) for term in losses.values())
    losses["total"].sum().backward()
    assert weights.grad is not None
    assert weights.grad.item() == 0


@pytest.mark.parametrize("kind", ["dice_bce", "focal_dice_iou"])
@pytest.mark.parametrize("extreme", [-1e4, 1e4, -60.0, 60.0, 0.0])
@pytest.mark.parametrize("filled", [0.0, 1.0, 0.3])
def test_extreme_logits_have_finite_losses_and_gradients(kind, extreme, filled):
    logits = torch.full((1, 1, 8, 8), extreme, requires_grad=True)
    losses = object_losses(
        prediction_of(logits, torch.ones(1, 1)),
        targets=torch.full((1, 8, 8), filled),
        config=ObjectiveConfig(kind=kind),
    )
    losses["total"].sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(losses["total"]).all()
    assert torch.isfinite(logits.grad).all()


def test_bfloat16_logits_are_summed_in_float32():
    logits = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(2)).bfloat16()
    targets = torch.zeros(2, 64, 64)
    targets[:, 20:40, 10:30] = 1
    rounded = object_losses(prediction_of(logits), targets=targets, config=ObjectiveConfig())
    exact = object_losses(prediction_of(logits.float()), targets=targets, config=ObjectiveConfig())
    assert rounded["total"].dtype == torch.float32
    torch.testing.assert_close(rounded["total"], exact["total"], rtol=0, atol=0)


def test_a_mask_thinner_than_a_cell_keeps_its_area_and_its_place():
    targets = torch.zeros(1, 8, 8)
    targets[0, 3, 5] = 1
    resized = resize_targets(targets, rows=4, columns=4)
    assert resized[0, 1, 2] == 0.25
    assert resized.sum() == 0.25
    assert resize_targets(targets, rows=8, columns=8).equal(targets)


@given(share=st.floats(0.05, 0.95))
def test_squared_dice_of_a_partly_covered_cell_is_lowest_at_the_covered_share(share):
    targets = torch.full((1, 1, 2, 2), share)

    def loss(probability: float) -> float:
        logits = torch.full((1, 1, 2, 2), probability).logit()
        return soft_dice_loss(logits, targets=targets, smoothing=1e-5, squared=True).item()

    assert loss(share) <= min(loss(share * 0.9), loss(share * 1.04)) + 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dice_weight": -1.0}, "objective.dice_weight must be 0 or more, got -1.0"),
        ({"bce_weight": math.nan}, "objective.bce_weight must be 0 or more, got nan"),
        ({"dice_weight": 0.0, "bce_weight": 0.0}, "no term left"),
        ({"dice_smoothing_pixels": 0.0}, "objective.dice_smoothing_pixels must be above 0"),
        ({"focal_alpha": 1.5}, r"objective.focal_alpha must be in \[0, 1\]"),
        ({"focal_gamma": 0.5}, "objective.focal_gamma must be 0, or 1 and more"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_by_the_name_of_its_option(options, message):
    with pytest.raises(ValueError, match=message):
        ObjectiveConfig(**options)
