"""What a prompted segmenter is asked after its first answer."""

import dataclasses

import pytest
import torch
from torch import Tensor

from model import MaskPrediction, ObjectiveConfig, Prompts, build_segmenter, freeze
from pipeline.correction import Corrections
from pipeline.train_step import TrainingStep
from tests.support.training_batches import NUM_IMAGES, make_batch

SIDE = 8


def prompts_of(num_objects: int) -> Prompts:
    return Prompts(
        image_index=torch.zeros(num_objects, dtype=torch.long),
        points=torch.ones(num_objects, 1, 2),
        point_labels=torch.ones(num_objects, 1, dtype=torch.long),
    )


def nothing_found(num_objects: int) -> MaskPrediction:
    logits = torch.full((num_objects, 1, SIDE, SIDE), -1.0, requires_grad=True)
    return MaskPrediction(low_resolution_logits=logits)


def squares(num_objects: int) -> Tensor:
    masks = torch.zeros(num_objects, SIDE, SIDE, dtype=torch.bool)
    masks[:, 2:6, 2:6] = True
    return masks


def after(corrections: Corrections, *, number: int, draws: Tensor) -> Prompts:
    num_objects = draws.shape[0]
    return corrections.prompts_after(
        number,
        prompts_of(num_objects),
        nothing_found(num_objects),
        masks=squares(num_objects),
        draws=draws,
    )


def test_each_object_draws_how_many_clicks_it_gets() -> None:
    corrections = Corrections(clicks_per_pass=(1, 3, 5, 9))
    draws = torch.rand(4, 10, generator=torch.Generator().manual_seed(0))
    draws[:, -1] = torch.tensor([0.0, 0.3, 0.6, 0.99])
    asked = after(corrections, number=0, draws=draws)
    assert asked.point_labels is not None
    assert (asked.point_labels[:, 1:] == 1).sum(dim=1).tolist() == [1, 3, 5, 9]
    assert (asked.point_labels[:, 1:] != 1).sum(dim=1).tolist() == [8, 6, 4, 0]
    assert corrections.num_passes(draws) == 2


def test_a_pass_takes_its_own_draws() -> None:
    corrections = Corrections(clicks_per_pass=(2,))
    draws = torch.tensor([[0.0, 0.99, 0.5, 0.25]])
    first, second = (after(corrections, number=number, draws=draws).points for number in (0, 1))
    assert first is not None
    assert second is not None
    assert first[0, 1:].tolist() == [[2, 2], [5, 5]]
    assert second[0, 1:].tolist() == [[2, 4], [2, 3]]


def test_a_click_pass_stops_gradients_and_a_refinement_lets_them_through() -> None:
    corrections = Corrections(num_refinements=1)
    draws = torch.zeros(2, 1)
    clicked = after(corrections, number=0, draws=draws)
    refined = after(corrections, number=1, draws=draws)
    assert clicked.mask_logits is not None
    assert refined.mask_logits is not None
    assert refined.points is not None
    assert not clicked.mask_logits.requires_grad
    assert refined.mask_logits.requires_grad
    assert refined.points.shape[1] == 1


def test_only_the_last_pass_is_asked_for_candidates() -> None:
    usual, ultrasam = Corrections(), Corrections(num_refinements=1, candidates_in_last_pass=True)
    assert [usual.wants_candidates(number, num_passes=2) for number in range(2)] == [None, None]
    assert [ultrasam.wants_candidates(number, num_passes=2) for number in range(2)] == [False, True]


@pytest.mark.parametrize("objects", [[1, 0, 2, 1], [0, 0, 0, 0]])
def test_every_trainable_gets_a_gradient_when_the_last_pass_has_candidates(
    objects: list[int],
) -> None:
    torch.manual_seed(0)
    segmenter = build_segmenter("samus_tiny", input_size=32, depth=2, global_blocks=(1,)).train()
    freeze(segmenter, has_base=False, uses_predicted_iou=True, uses_candidates=True)
    step = TrainingStep(
        segmenter,
        objective=ObjectiveConfig(kind="focal_dice_iou"),
        global_batch_size=NUM_IMAGES,
        num_ranks=1,
        corrections=Corrections(
            clicks_per_pass=(1, 3), num_refinements=1, candidates_in_last_pass=True
        ),
    )
    batch = make_batch(objects, num_passes=1)
    draws = torch.rand(batch.num_objects, 2 * 4, generator=torch.Generator().manual_seed(0))
    step(dataclasses.replace(batch, error_click_draws=draws)).total.backward()
    without = [n for n, p in segmenter.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
