"""What training asks of every preset. Adding a preset adds no code here."""

import dataclasses

import pytest
import torch

from model import PRESETS, ObjectiveConfig, Prompts, Segmenter, freeze
from pipeline.train_step import TrainingStep
from tests.support.preset_contract import (
    AUTOMATIC,
    PROMPTED,
    TINY,
    batches_for,
    built,
    everything_in,
    images_for,
    prompts_for,
    usual_prompts,
)
from tests.support.training_batches import SIDE, make_batch


def gradient_cases() -> list:
    """Return every (preset, batch, base, passes); all but each preset's richest one are slow."""
    cases = []
    for name in PROMPTED:
        passes = [1, 2] if "masks" in getattr(PRESETS[name], "prompt_kinds", ()) else [1]
        for place, kind in enumerate(batches_for(name)):
            for has_base in (True, False):
                for num_passes in passes:
                    is_usual = place == 0 and has_base and num_passes == passes[-1]
                    marks = () if is_usual else pytest.mark.slow
                    cases.append(pytest.param(name, kind, has_base, num_passes, marks=marks))
    return cases


@pytest.mark.parametrize(("name", "kind", "has_base", "num_passes"), gradient_cases())
def test_every_trainable_gets_a_gradient_in_every_kind_of_batch(
    name: str, kind: str, has_base: bool, num_passes: int
) -> None:
    segmenter = built(name).train()
    freeze(segmenter, has_base=has_base)
    prompts = prompts_for(segmenter, kind=kind)
    assert prompts is not None
    ask(segmenter, prompts, num_passes=num_passes).backward()
    assert_every_trainable_has_a_gradient(segmenter)


def ask(segmenter: Segmenter, prompts: Prompts, *, num_passes: int) -> torch.Tensor:
    """Return what the masks of all passes add up to; later ones refine the one before."""
    features = segmenter.encode(images_for(segmenter, num_images=2))
    total = torch.zeros(())
    for _ in range(num_passes):
        logits = segmenter.decode(features, prompts).low_resolution_logits
        total = total + logits.square().sum()
        prompts = dataclasses.replace(prompts, mask_logits=logits.detach())
    return total


def assert_every_trainable_has_a_gradient(segmenter: Segmenter) -> None:
    without = [n for n, p in segmenter.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in segmenter.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("has_base", [False, True])
def test_what_predicts_iou_and_presence_gets_a_gradient_where_it_is_trained(
    name: str, has_base: bool
) -> None:
    segmenter = built(name).train()
    freeze(segmenter, has_base=has_base, uses_predicted_iou=segmenter.predicts_iou)
    images = images_for(segmenter, num_images=2)
    everything_in(segmenter(images, usual_prompts(name, segmenter))).backward()
    assert_every_trainable_has_a_gradient(segmenter)


@pytest.mark.parametrize("name", AUTOMATIC)
def test_nothing_of_an_automatic_model_waits_for_a_gradient(name: str) -> None:
    segmenter = built(name).train()
    freeze(segmenter, has_base=False)
    everything_in(segmenter(images_for(segmenter, num_images=2))).backward()
    assert_every_trainable_has_a_gradient(segmenter)


@pytest.mark.parametrize("objects", [[2, 0], [0, 0]], ids=["objects", "no object"])
@pytest.mark.parametrize("is_annotated", [True, False], ids=["annotated", "not annotated"])
@pytest.mark.parametrize("has_base", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", AUTOMATIC)
def test_every_trainable_of_an_automatic_model_gets_a_gradient_in_every_kind_of_batch(
    name: str, has_base: bool, is_annotated: bool, objects: list[int]
) -> None:
    segmenter = built(name, input_size=SIDE).train()
    freeze(segmenter, has_base=has_base)
    batch = make_batch(objects)
    annotated = torch.full_like(batch.annotated, is_annotated)
    step = TrainingStep(
        segmenter, objective=ObjectiveConfig(), global_batch_size=len(objects), num_ranks=1
    )
    step(dataclasses.replace(batch, annotated=annotated)).total.backward()
    assert_every_trainable_has_a_gradient(segmenter)
    assert is_annotated == any(
        bool(p.grad.any()) for p in segmenter.parameters() if p.grad is not None
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "samus_tiny" else pytest.mark.slow) for name in TINY],
)
def test_activation_checkpointing_changes_no_gradient(name: str) -> None:
    gradients = []
    for enabled in (False, True):
        segmenter = built(name).train()
        segmenter.set_activation_checkpointing(enabled)
        images = images_for(segmenter, num_images=2)
        everything_in(segmenter(images, usual_prompts(name, segmenter))).backward()
        gradients.append([p.grad for p in segmenter.parameters() if p.grad is not None])
    assert len(gradients[0]) > 20
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.parametrize("name", TINY)
def test_bfloat16_autocast_stays_near_float32(name: str) -> None:
    # In evaluation an automatic model empties the masks of what it calls absent.
    segmenter = built(name).train()
    images = images_for(segmenter, num_images=2)
    prompts = usual_prompts(name, segmenter)
    with torch.no_grad():
        exact = segmenter(images, prompts).low_resolution_logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = segmenter(images, prompts).low_resolution_logits.float()
    error = exact - rounded
    assert error.square().mean().sqrt() < 0.04 * exact.std()
    assert error.abs().max() < 0.25 * exact.std()
