"""AutoSAMUS is the released one for one category, and tells several categories apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import (
    MaskPrediction,
    ObjectiveConfig,
    Prompts,
    Segmenter,
    build_segmenter,
    freeze,
    load_weights,
    object_losses,
    presence_losses,
)
from model.autosamus_config import AutosamusArchitecture
from model.prompt_generator import QuietAttention
from tests.support.parity_weights import image_from_seed, weights_from_names

CATEGORIES = ("cyst", "bone", "nodule")
SAMUS_TRAINABLES = 39_653_120


def built(**options: Any) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter("autosamus_tiny", **{"categories": CATEGORIES, **options})


def images(number: int) -> torch.Tensor:
    return torch.rand(number, 1, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("trains_adapters", "num_trainable"),
    [(False, 8_861_312), (True, 8_861_312 + SAMUS_TRAINABLES)],
)
def test_parameter_and_trainable_counts_are_exact(
    trains_adapters: bool, num_trainable: int
) -> None:
    with torch.device("meta"):
        segmenter = build_segmenter("autosamus_vit_b", trains_adapters=trains_adapters)
    report = freeze(segmenter, has_base=True)
    assert (report.num_parameters, report.num_trainable) == (142_184_880, num_trainable)


@pytest.mark.slow
def test_autosamus_vit_b_equals_the_released_implementation(shared_folder: Path) -> None:
    fixture = np.load(shared_folder / "parity" / "autosamus_vit_b.npz")
    segmenter = build_segmenter("autosamus_vit_b").eval()
    weights = weights_from_names(shared_folder / "parity" / "autosamus_vit_b.shapes.json")
    report = load_weights(segmenter, weights)
    assert (report.layout, report.new) == ("autosamus", ())
    with torch.no_grad():
        answer = segmenter(image_from_seed(int(fixture["image_seed"]), channels=1))
    expected = fixture["low_res_logits"]
    assert answer.presence_logits is None
    logits = answer.low_resolution_logits.numpy()
    assert np.abs(logits - expected).max() < 1e-4 * expected.std()


def test_every_image_is_answered_by_category_image_by_image() -> None:
    # In 64 bits: how far 32 bits round apart depends on threads and batch.
    segmenter, both = built().eval().double(), images(2).double()
    with torch.no_grad():
        together = segmenter(both)
        alone = [segmenter(image[None]) for image in both]
    assert together.low_resolution_logits.shape == (6, 1, 64, 64)
    assert together.category is not None
    assert together.category.tolist() == [0, 1, 2, 0, 1, 2]
    assert together.presence_logits is not None
    for at, answer in enumerate(alone):
        rows = slice(3 * at, 3 * at + 3)
        torch.testing.assert_close(
            together.low_resolution_logits[rows],
            answer.low_resolution_logits,
            rtol=1e-9,
            atol=1e-10,
        )
        torch.testing.assert_close(
            together.presence_logits[rows], answer.presence_logits, rtol=1e-9, atol=1e-10
        )


@pytest.mark.parametrize("has_base", [False, True])
@pytest.mark.parametrize("trains_adapters", [False, True])
@pytest.mark.parametrize("refines", [False, True])
def test_every_trainable_gets_a_gradient(
    has_base: bool, trains_adapters: bool, refines: bool
) -> None:
    segmenter = built(trains_adapters=trains_adapters, refines_output_tokens=refines).train()
    freeze(segmenter, has_base=has_base)
    answer = segmenter(images(2))
    assert answer.presence_logits is not None
    (answer.low_resolution_logits.square().sum() + answer.presence_logits.sum()).backward()
    got = {name for name, one in segmenter.named_parameters() if one.grad is not None}
    assert got == {name for name, one in segmenter.named_parameters() if one.requires_grad}
    is_frozen = not any(name.startswith("image_encoder.") for name in got)
    assert is_frozen == (has_base and not trains_adapters)


def test_the_one_foreground_has_no_word_on_presence() -> None:
    segmenter = built(categories=("foreground",)).eval()
    with torch.no_grad():
        assert segmenter(images(1)).presence_logits is None
    assert not any("presence" in name for name in segmenter.state_dict())


def test_what_is_called_absent_has_an_empty_mask_but_not_in_training() -> None:
    segmenter = built()
    with torch.no_grad():
        answer = segmenter.train()(images(1))
        assert answer.presence_logits is not None
        last = segmenter.get_submodule("presence_head.readout")
        assert isinstance(last, torch.nn.Linear)
        middle = answer.presence_logits.sort().values[[0, 2]].mean()
        last.bias.sub_(middle)
        before = segmenter(images(1))
        after = segmenter.eval()(images(1))
    assert before.presence_logits is not None
    is_absent = before.presence_logits <= 0
    assert is_absent.any()
    assert not is_absent.all()
    logits = before.low_resolution_logits
    assert (logits[is_absent] > 0).any()
    assert not (after.low_resolution_logits[is_absent] > 0).any()
    assert torch.equal(after.low_resolution_logits[~is_absent], logits[~is_absent])


def test_one_key_is_taken_in_by_half() -> None:
    torch.manual_seed(0)
    attention = QuietAttention(AutosamusArchitecture(generator_heads=2, generator_head_width=4))
    queries, key = torch.randn(1, 5, 256), torch.randn(1, 1, 256)
    with torch.no_grad():
        value = attention.key_value(attention.key_norm(key)).chunk(2, dim=-1)[1]
        expected = attention.output(0.5 * value).expand(-1, 5, -1)
        torch.testing.assert_close(attention(queries, key), expected)


def test_prompts_and_candidates_are_refused() -> None:
    segmenter = built()
    with pytest.raises(ValueError, match="answers every category by itself"):
        segmenter(images(1), Prompts(image_index=torch.tensor([0])))
    with pytest.raises(ValueError, match="answers every category by itself"):
        segmenter(images(1), multimask=True)


@pytest.mark.parametrize("options", [{"categories": ("a", "a")}, {"num_emitted_tokens": 9}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        built(**options)


def test_weights_of_a_samus_are_taken_and_the_generator_is_new() -> None:
    samus = build_segmenter("samus_tiny")
    segmenter = built()
    report = load_weights(segmenter, samus.state_dict())
    assert set(report.new) == set(segmenter.state_dict()) - set(samus.state_dict())
    assert torch.equal(
        segmenter.state_dict()["image_encoder.patch_embed.proj.weight"],
        samus.state_dict()["image_encoder.patch_embed.proj.weight"],
    )
    half = dict(segmenter.state_dict())
    del half["prompt_generator.task_tokens"]
    with pytest.raises(ValueError, match=r"prompt_generator\.task_tokens"):
        load_weights(segmenter, half)


@pytest.mark.slow
def test_one_image_of_several_categories_gets_a_mask_for_each_that_is_there() -> None:
    segmenter = built(input_size=32, has_detail_skip=False).train()
    freeze(segmenter, has_base=False)
    masks = torch.zeros(3, 32, 32)
    masks[0, 4:14, 4:14] = 1
    masks[1, 18:28, 17:27] = 1
    image = (0.3 * images(1)[..., :32, :32] + 0.6 * masks[0] + 0.3 * masks[1]).clamp(max=1)
    is_present = torch.tensor([True, True, False])
    optimizer = torch.optim.AdamW(segmenter.parameters(), lr=2e-3)
    for _ in range(50):
        optimizer.zero_grad()
        cost_of(segmenter(image), masks=masks, is_present=is_present).backward()
        optimizer.step()
    with torch.no_grad():
        answer = segmenter.eval()(image)
    assert answer.presence_logits is not None
    assert ((answer.presence_logits > 0) == is_present).all()
    found = answer.low_resolution_logits[:, 0] > 0
    overlap = (found & (masks > 0)).sum(dim=(1, 2)) / (found | (masks > 0)).sum(dim=(1, 2))
    assert (overlap[:2] > 0.8).all()
    assert not found[2].any()


def cost_of(
    answer: MaskPrediction, *, masks: torch.Tensor, is_present: torch.Tensor
) -> torch.Tensor:
    assert answer.presence_logits is not None
    costs = object_losses(answer, targets=masks, config=ObjectiveConfig())["total"]
    presence = presence_losses(answer.presence_logits, is_present=is_present, weight=1.0)
    return costs[is_present].sum() + presence.sum()
