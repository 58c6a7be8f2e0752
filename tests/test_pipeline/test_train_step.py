"""The one wrapped module: the same gradient however a step is cut, and a graph in every batch."""

import dataclasses

import pytest
import torch
from torch import Tensor

from model import ObjectiveConfig, Segmenter, build_segmenter
from pipeline.batches import TrainingBatch
from pipeline.train_step import TrainingStep
from tests.support.training_batches import (
    NUM_IMAGES,
    SIDE,
    cut_in_two,
    make_batch,
    nano_segmenter,
    with_boxes,
)


def gradients(step: TrainingStep, batches: list[TrainingBatch]) -> dict[str, Tensor]:
    step.zero_grad(set_to_none=True)
    for batch in batches:
        step(batch).total.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in step.named_parameters()
        if parameter.grad is not None
    }


def make_step(segmenter: Segmenter, *, num_ranks: int = 1) -> TrainingStep:
    return TrainingStep(
        segmenter,
        objective=ObjectiveConfig(),
        global_batch_size=NUM_IMAGES,
        num_ranks=num_ranks,
    )


def test_accumulation_has_the_gradient_of_the_whole_batch() -> None:
    step = make_step(nano_segmenter())
    whole = gradients(step, [make_batch([1, 3, 0, 2])])
    halves = gradients(step, cut_in_two(make_batch([1, 3, 0, 2])))
    assert halves.keys() == whole.keys()
    for name, gradient in halves.items():
        torch.testing.assert_close(gradient, whole[name], rtol=1e-5, atol=1e-6)


def test_the_mean_over_two_ranks_is_the_gradient_of_one_process() -> None:
    segmenter = nano_segmenter()
    whole = gradients(make_step(segmenter), [make_batch([1, 3, 0, 2])])
    first, second = (
        gradients(make_step(segmenter, num_ranks=2), [half])
        for half in cut_in_two(make_batch([1, 3, 0, 2]))
    )
    for name, gradient in whole.items():
        mean = (first[name] + second[name]) / 2
        torch.testing.assert_close(mean, gradient, rtol=1e-5, atol=1e-6)


def test_every_image_weighs_the_same_however_many_objects_it_has() -> None:
    step = make_step(nano_segmenter())
    alone = step(make_batch([2], num_passes=1)).sums["total"]
    crowd = step(make_batch([2, 0], num_passes=1)).sums["total"]
    torch.testing.assert_close(alone, crowd)
    assert 0 < alone.item() < 1.5


@pytest.mark.parametrize("has_base", [True, False])
@pytest.mark.parametrize("num_passes", [1, 2])
def test_a_batch_without_objects_has_a_zero_gradient_for_every_trainable_parameter(
    has_base: bool, num_passes: int
) -> None:
    segmenter = nano_segmenter(has_base=has_base)
    step = make_step(segmenter)
    found = gradients(step, [make_batch([0, 0], num_passes=num_passes)])
    trainable = {name for name, one in step.named_parameters() if one.requires_grad}
    assert set(found) == trainable
    assert all(float(gradient.abs().max()) == 0.0 for gradient in found.values())
    assert step(make_batch([0, 0])).num_masks == 0


@pytest.mark.parametrize("has_base", [True, False])
def test_every_trainable_parameter_is_in_the_graph_of_every_batch(has_base: bool) -> None:
    segmenter = nano_segmenter(has_base=has_base)
    step = make_step(segmenter)
    trainable = {name for name, one in step.named_parameters() if one.requires_grad}
    batch = make_batch([1, 2])
    assert set(gradients(step, [batch])) == trainable
    assert set(gradients(step, [with_boxes(batch)])) == trainable


def test_the_image_is_encoded_once_for_all_objects_and_passes() -> None:
    segmenter = nano_segmenter()
    calls: list[int] = []
    encoder = segmenter.get_submodule("image_encoder")
    encoder.register_forward_hook(lambda *_: calls.append(1))
    make_step(segmenter)(make_batch([3, 2], num_passes=3))
    assert len(calls) == 1


def test_bfloat16_stays_close_to_float32_and_its_losses_are_float32() -> None:
    segmenter = nano_segmenter()
    exact = make_step(segmenter)(make_batch([2, 1]))
    rounded_step = TrainingStep(
        segmenter,
        objective=ObjectiveConfig(),
        global_batch_size=NUM_IMAGES,
        num_ranks=1,
        precision="bfloat16",
    )
    rounded = rounded_step(make_batch([2, 1]))
    assert rounded.total.dtype == torch.float32
    assert not torch.equal(rounded.total, exact.total)
    torch.testing.assert_close(rounded.total, exact.total, rtol=0.05, atol=0.05)


def test_an_automatic_model_learns_only_categories_that_are_annotated() -> None:
    torch.manual_seed(0)
    segmenter = build_segmenter("unet_tiny", input_size=SIDE, categories=("a", "b"))
    step = make_step(segmenter)
    batch = make_batch([2, 1])
    nothing = dataclasses.replace(batch, annotated=torch.zeros(2, 2, dtype=torch.bool))
    assert step(nothing).sums["total"].item() == 0.0
    only_a = dataclasses.replace(batch, annotated=torch.tensor([[True, False], [True, False]]))
    changed = dataclasses.replace(only_a, category_index=torch.tensor([0, -1, 0]))
    torch.testing.assert_close(step(only_a).sums["total"], step(changed).sums["total"])
    assert step(only_a).num_masks == 2


def test_objects_of_one_category_are_learned_as_their_union() -> None:
    torch.manual_seed(0)
    segmenter = build_segmenter("unet_tiny", input_size=SIDE, categories=("a",))
    step = make_step(segmenter)
    batch = dataclasses.replace(
        make_batch([2]),
        category_index=torch.tensor([0, 0]),
        annotated=torch.ones(1, 1, dtype=torch.bool),
    )
    union = batch.masks.any(dim=0, keepdim=True)
    joined = dataclasses.replace(
        make_batch([1]),
        masks=union,
        category_index=torch.tensor([0]),
        annotated=torch.ones(1, 1, dtype=torch.bool),
    )
    torch.testing.assert_close(step(batch).sums["total"], step(joined).sums["total"])
