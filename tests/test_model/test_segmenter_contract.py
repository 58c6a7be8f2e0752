"""What holds for every preset. Adding a preset adds no code here."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import (
    PRESETS,
    Prompts,
    SamArchitecture,
    Segmenter,
    architecture_to_dict,
    build_from_architecture,
    build_segmenter,
    freeze,
)
from model.prompt_encoder import PromptEncoder

TINY = sorted(name for name in PRESETS if name.endswith("_tiny"))
PROMPTED = [name for name in TINY if PRESETS[name].__class__.__name__ != "UnetArchitecture"]
FULL_SIZE = sorted(name for name in PRESETS if not name.endswith("_tiny"))


def built(name: str) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(name)


def images_for(segmenter: Segmenter, *, num_images: int) -> Tensor:
    side = segmenter.architecture.input_size
    return torch.rand(num_images, 1, side, side, generator=torch.Generator().manual_seed(1))


def clicks(side: int) -> Prompts:
    return Prompts(
        image_index=torch.tensor([1, 0, 1]),
        points=torch.tensor(
            [[[5.0, 9.0], [0, 0]], [[20.0, 3.0], [30.0, 8.0]], [[side - 1.0, 4.0], [0, 0]]]
        ),
        point_labels=torch.tensor([[1, -1], [1, 0], [1, -1]]),
    )


def boxes(side: int) -> Prompts:
    return Prompts(
        image_index=torch.tensor([0, 1, 1]),
        boxes=torch.tensor([[2.0, 3, 20, 30], [0, 0, side - 1, side - 1], [9, 9, 12, 30]]),
    )


def mixed(side: int) -> Prompts:
    return Prompts(
        image_index=torch.tensor([0, 1, 0]),
        points=torch.tensor(
            [[[2.0, 3], [20, 30]], [[7.0, 7], [0, 0]], [[9.0, 9], [0, side - 1.0]]]
        ),
        point_labels=torch.tensor([[2, 3], [1, -1], [1, 0]]),
    )


def nothing(side: int) -> Prompts:
    return Prompts(
        image_index=torch.zeros(0, dtype=torch.long),
        points=torch.zeros(0, 2, 2),
        point_labels=torch.zeros(0, 2, dtype=torch.long),
    )


BATCHES: dict[str, Callable[[int], Prompts]] = {
    "clicks": clicks,
    "boxes": boxes,
    "mixed": mixed,
    "no object": nothing,
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("num_channels", [1, 3])
def test_output_is_finite_and_of_the_declared_shape(name: str, num_channels: int) -> None:
    segmenter = built(name).eval()
    images = images_for(segmenter, num_images=2).expand(-1, num_channels, -1, -1)
    prompts = None if segmenter.is_automatic else clicks(images.shape[-1])
    with torch.no_grad():
        answer = segmenter(images, prompts)
    num_rows = 2 * len(segmenter.categories) if prompts is None else prompts.num_prompts
    assert answer.low_resolution_logits.shape[:2] == (num_rows, 1)
    assert answer.low_resolution_logits.isfinite().all()


@pytest.mark.parametrize("name", PROMPTED)
@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("has_base", [False, True])
@pytest.mark.parametrize("num_passes", [1, 2])
def test_every_trainable_gets_a_gradient_in_every_kind_of_batch(
    name: str, kind: str, has_base: bool, num_passes: int
) -> None:
    segmenter = built(name).train()
    freeze(segmenter, has_base=has_base)
    images = images_for(segmenter, num_images=2)
    prompts = BATCHES[kind](images.shape[-1])
    features = segmenter.encode(images)
    answer = segmenter.decode(features, prompts)
    loss = answer.low_resolution_logits.square().sum()
    if num_passes == 2:
        refined = dataclasses.replace(prompts, mask_logits=answer.low_resolution_logits.detach())
        loss = loss + segmenter.decode(features, refined).low_resolution_logits.square().sum()
    loss.backward()
    without = [n for n, p in segmenter.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in segmenter.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", [name for name in TINY if name not in PROMPTED])
def test_every_weight_of_an_automatic_model_gets_a_gradient(name: str) -> None:
    segmenter = built(name).train()
    freeze(segmenter, has_base=False)
    answer = segmenter(images_for(segmenter, num_images=2))
    answer.low_resolution_logits.square().sum().backward()
    assert [n for n, p in segmenter.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", PROMPTED)
@pytest.mark.parametrize("kind", ["clicks", "boxes", "mixed"])
def test_a_prompt_gives_the_same_mask_alone_and_in_a_batch(name: str, kind: str) -> None:
    segmenter = built(name).eval()
    images = images_for(segmenter, num_images=2)
    prompts = BATCHES[kind](images.shape[-1])
    with torch.no_grad():
        together = segmenter(images, prompts).low_resolution_logits
        for row in range(prompts.num_prompts):
            alone = segmenter(images[prompts.image_index[row]][None], only_row(prompts, row))
            torch.testing.assert_close(
                alone.low_resolution_logits[0], together[row], rtol=1e-4, atol=1e-5
            )


def only_row(prompts: Prompts, row: int) -> Prompts:
    """Return one prompt without its empty slots, about the only image."""
    points, labels = None, None
    if prompts.points is not None and prompts.point_labels is not None:
        present = prompts.point_labels[row] != -1
        points = prompts.points[row][present][None]
        labels = prompts.point_labels[row][present][None]
    return Prompts(
        image_index=torch.tensor([0]),
        points=points,
        point_labels=labels,
        boxes=None if prompts.boxes is None else prompts.boxes[row][None],
    )


@pytest.mark.parametrize("name", TINY)
def test_weights_survive_a_round_trip_through_description_and_state(name: str) -> None:
    segmenter = built(name).eval()
    copy = build_from_architecture(architecture_to_dict(segmenter, preset=name)).eval()
    copy.load_state_dict(segmenter.state_dict())
    images = images_for(segmenter, num_images=2)
    prompts = None if segmenter.is_automatic else clicks(images.shape[-1])
    with torch.no_grad():
        first, second = segmenter(images, prompts), copy(images, prompts)
    assert copy.architecture == segmenter.architecture
    torch.testing.assert_close(
        first.low_resolution_logits, second.low_resolution_logits, rtol=0, atol=0
    )


@pytest.mark.parametrize("name", PROMPTED)
def test_a_prompt_is_read_as_x_then_y_in_framed_pixels(name: str) -> None:
    architecture = PRESETS[name]
    assert isinstance(architecture, SamArchitecture)
    encoder = PromptEncoder(architecture)
    cell, (column, row) = architecture.patch_stride, (3, 1)
    centre = torch.tensor([[[(column + 0.5) * cell - 0.5, (row + 0.5) * cell - 0.5]]])
    prompts = Prompts(
        image_index=torch.tensor([0]), points=centre, point_labels=torch.tensor([[1]])
    )
    with torch.no_grad():
        inside = encoder.point_embeddings[1](torch.tensor(0))
        token = encoder(prompts).tokens[0, 0] - inside
        grid = encoder.grid_positions()[0].unflatten(0, (architecture.grid_size, -1))
    torch.testing.assert_close(token, grid[row, column])


@pytest.mark.parametrize("name", PROMPTED)
def test_activation_checkpointing_changes_no_gradient(name: str) -> None:
    gradients = []
    for enabled in (False, True):
        segmenter = built(name).train()
        segmenter.set_activation_checkpointing(enabled)
        images = images_for(segmenter, num_images=2)
        segmenter(images, clicks(images.shape[-1])).low_resolution_logits.sum().backward()
        gradients.append([p.grad for p in segmenter.parameters() if p.grad is not None])
    assert len(gradients[0]) > 50
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.parametrize("name", TINY)
def test_bfloat16_autocast_stays_near_float32(name: str) -> None:
    segmenter = built(name).eval()
    images = images_for(segmenter, num_images=2)
    prompts = None if segmenter.is_automatic else clicks(images.shape[-1])
    with torch.no_grad():
        exact = segmenter(images, prompts).low_resolution_logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = segmenter(images, prompts).low_resolution_logits.float()
    assert (exact - rounded).abs().max() < 0.1 * exact.std()


@pytest.mark.parametrize("name", TINY)
def test_images_that_were_not_framed_are_refused(name: str) -> None:
    segmenter = built(name)
    side = segmenter.architecture.input_size
    with pytest.raises(ValueError, match="Divide 8-bit images by 255"):
        segmenter._as_three_channels(torch.zeros(1, 1, side, side, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"segmenter\.framing\.frame"):
        segmenter.encode(torch.zeros(1, 1, side + 1, side))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        segmenter.encode(torch.zeros(1, 2, side, side))


@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size_presets_can_be_built_without_memory(name: str) -> None:
    with torch.device("meta"):
        report = freeze(build_segmenter(name), has_base=True)
    assert 0 < report.num_trainable <= report.num_parameters
