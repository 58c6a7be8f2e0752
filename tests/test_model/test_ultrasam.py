"""UltraSam: the released decoder, and an answer that it refines itself."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from model import Prompts, Segmenter, build_segmenter, freeze
from model.two_way_transformer import TwoWayTransformer
from tests.support.parity_weights import weights_from_names

PREFIX = "mask_decoder.transformer."


@pytest.mark.parametrize(
    ("doubled_residual", "output"), [(True, "queries"), (False, "plain_queries")]
)
def test_the_two_way_transformer_equals_the_released_one_both_ways(
    shared_folder: Path, doubled_residual: bool, output: str
) -> None:
    fixture = np.load(shared_folder / "parity" / "ultrasam_decoder.npz")
    weights = weights_from_names(shared_folder / "parity" / "ultrasam_decoder.shapes.json")
    transformer = TwoWayTransformer(
        depth=2, width=256, num_heads=8, mlp_width=2048, doubled_residual=doubled_residual
    )
    transformer.load_state_dict({n.removeprefix(PREFIX): value for n, value in weights.items()})
    generator = np.random.default_rng(int(fixture["input_seed"]))
    num_tokens = fixture["queries"].shape[1]
    cells, positions, tokens = (
        torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
        for shape in ((1, 256, 16, 16), (1, 256, 16, 16), (1, num_tokens, 256))
    )
    with torch.no_grad():
        found, keys = transformer.eval()(
            tokens,
            cells.flatten(2).transpose(1, 2),
            cell_positions=positions.flatten(2).transpose(1, 2),
            is_present=torch.ones(1, 1, 1, num_tokens, dtype=torch.bool),
        )
    expected = fixture[output]
    assert np.abs(found.numpy() - expected).max() < 1e-4 * expected.std()
    if doubled_residual:
        assert np.abs(keys.numpy() - fixture["keys"]).max() < 1e-4 * fixture["keys"].std()


@pytest.fixture
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter("ultrasam_tiny").eval()


IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def point_or_box() -> Prompts:
    return Prompts(
        image_index=torch.tensor([0, 1]),
        points=torch.tensor([[[5.0, 9.0], [0.0, 0.0]], [[10.0, 12.0], [40.0, 50.0]]]),
        point_labels=torch.tensor([[1, -1], [2, 3]]),
    )


def test_the_answer_is_the_best_candidate_of_a_second_pass(segmenter: Segmenter) -> None:
    prompts = point_or_box()
    with torch.no_grad():
        features = segmenter.encode(IMAGES)
        first = segmenter.decode(features, prompts, multimask=False).low_resolution_logits
        again = dataclasses.replace(prompts, mask_logits=first)
        candidates = segmenter.decode(features, again, multimask=True)
        answer = segmenter.decode(features, prompts)
    assert candidates.predicted_iou is not None
    assert answer.predicted_iou is not None
    best = candidates.predicted_iou.argmax(dim=1)
    expected = candidates.low_resolution_logits[torch.arange(2), best]
    assert answer.low_resolution_logits.shape == (2, 1, 32, 32)
    torch.testing.assert_close(answer.low_resolution_logits[:, 0], expected)
    torch.testing.assert_close(answer.predicted_iou[:, 0], candidates.predicted_iou.amax(dim=1))
    assert not torch.allclose(answer.low_resolution_logits, first)


def test_an_earlier_mask_is_refined_in_one_pass(segmenter: Segmenter) -> None:
    earlier = torch.linspace(-2, 2, 2 * 32 * 32).reshape(2, 1, 32, 32)
    prompts = dataclasses.replace(point_or_box(), mask_logits=earlier)
    with torch.no_grad():
        features = segmenter.encode(IMAGES)
        candidates = segmenter.decode(features, prompts, multimask=True)
        answer = segmenter.decode(features, prompts)
    torch.testing.assert_close(
        answer.low_resolution_logits, candidates.best_candidate().low_resolution_logits
    )


def test_with_both_switches_off_and_no_refinement_it_is_sam(segmenter: Segmenter) -> None:
    plain = build_segmenter(
        "ultrasam_tiny", doubled_residual=False, num_refinements=0, refines_with_candidates=False
    ).eval()
    sam = build_segmenter("sam_tiny").eval()
    for other in (plain, sam):
        other.load_state_dict(segmenter.state_dict())
    with torch.no_grad():
        answers = [one(IMAGES, point_or_box()) for one in (plain, sam, segmenter)]
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=0)
    assert not torch.allclose(answers[1].low_resolution_logits, answers[2].low_resolution_logits)


@pytest.mark.parametrize("refines_with_candidates", [True, False])
@pytest.mark.parametrize("num_refinements", [0, 1, 2])
def test_all_that_trains_gets_a_gradient_through_every_pass(
    num_refinements: int, refines_with_candidates: bool
) -> None:
    segmenter = build_segmenter(
        "ultrasam_tiny",
        num_refinements=num_refinements,
        refines_with_candidates=refines_with_candidates,
    ).train()
    report = freeze(segmenter, has_base=True, uses_predicted_iou=True)
    answer = segmenter(IMAGES, point_or_box())
    assert answer.predicted_iou is not None
    (answer.low_resolution_logits.square().sum() + answer.predicted_iou.sum()).backward()
    assert [n for n, p in segmenter.named_parameters() if p.requires_grad and p.grad is None] == []
    uses_all = refines_with_candidates and num_refinements > 0
    assert (report.num_unused == 0) == uses_all


def test_refinement_without_mask_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match="has no masks: add them, or give num_refinements=0"):
        build_segmenter("ultrasam_tiny", prompt_kinds=("points", "boxes"))


def test_more_objects_than_the_released_code_has_places_for_are_packed_flat(
    segmenter: Segmenter,
) -> None:
    num_objects = 23
    points = 2.5 * torch.arange(num_objects).float()[:, None, None].expand(-1, 1, 2)
    prompts = Prompts(
        image_index=torch.zeros(num_objects, dtype=torch.long),
        points=points,
        point_labels=torch.ones(num_objects, 1, dtype=torch.long),
    )
    with torch.no_grad():
        features = segmenter.encode(IMAGES[:1])
        together = segmenter.decode(features, prompts).low_resolution_logits
        alone = segmenter.decode(
            features,
            Prompts(
                image_index=torch.tensor([0]),
                points=points[-1:],
                point_labels=torch.ones(1, 1, dtype=torch.long),
            ),
        ).low_resolution_logits
    assert together.shape == (num_objects, 1, 32, 32)
    torch.testing.assert_close(together[-1:], alone, rtol=1e-4, atol=1e-5)
