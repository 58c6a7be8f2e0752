"""SAMUS is the published one, and what is computed less often gives the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model import Prompts, Segmenter, build_segmenter, freeze, load_weights
from model.position_adapter import PositionAdapter
from tests.support.parity_weights import image_from_seed, weights_from_names

COUNTS = {
    "samus_vit_b": (133_323_568, 39_653_120),
    "samus_vit_l": (381_660_272, 69_382_464),
    "samus_vit_h": (748_452_272, 107_442_944),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_and_trainable_counts_are_exact(name: str) -> None:
    with torch.device("meta"):
        report = freeze(build_segmenter(name), has_base=True)
    assert (report.num_parameters, report.num_trainable) == COUNTS[name]


def test_without_a_base_all_but_the_unused_heads_train(caplog: pytest.LogCaptureFixture) -> None:
    segmenter = build_segmenter("samus_tiny")
    with caplog.at_level("INFO", logger="model.freezing"):
        report = freeze(segmenter, has_base=False)
    unused = {
        name.split(".")[1]
        for name, parameter in segmenter.named_parameters()
        if not parameter.requires_grad
    }
    assert unused == {"iou_prediction_head", "output_hypernetworks_mlps"}
    assert "No pretrained base, so everything in use trains" in caplog.text
    everything = freeze(segmenter, has_base=False, uses_predicted_iou=True)
    assert report.num_trainable < everything.num_trainable


@pytest.mark.slow
def test_samus_vit_b_equals_the_published_implementation(shared_folder: Path) -> None:
    fixture = np.load(shared_folder / "parity" / "samus_vit_b.npz")
    segmenter = build_segmenter("samus_vit_b").eval()
    weights = weights_from_names(shared_folder / "parity" / "samus_vit_b.shapes.json")
    load_weights(segmenter, weights)
    prompts = Prompts(
        image_index=torch.tensor([0]),
        points=torch.from_numpy(fixture["points"]),
        point_labels=torch.from_numpy(fixture["labels"]).long(),
    )
    with torch.no_grad():
        image = image_from_seed(int(fixture["image_seed"]), channels=1)
        features = segmenter.encode(image)
        logits = segmenter.decode(features, prompts).low_resolution_logits
    embedding = features.embedding[:, ::8].numpy()
    expected_embedding, expected_logits = fixture["image_embedding"], fixture["low_res_logits"]
    assert np.abs(embedding - expected_embedding).max() < 1e-4 * expected_embedding.std()
    assert np.abs(logits.numpy() - expected_logits).max() < 1e-4 * expected_logits.std()


@pytest.fixture
def adapter() -> PositionAdapter:
    torch.manual_seed(0)
    return PositionAdapter(table_size=8, width=6).eval()


def test_kept_positions_are_computed_once_and_equal_the_fresh_ones(
    adapter: PositionAdapter,
) -> None:
    with torch.no_grad():
        kept = adapter(4)
        assert adapter(4) is kept
    assert torch.equal(adapter.train()(4), kept)


def test_kept_positions_are_forgotten_when_a_weight_changes(adapter: PositionAdapter) -> None:
    other = PositionAdapter(table_size=8, width=6)
    with torch.no_grad():
        before = adapter(4)
        adapter.load_state_dict(other.state_dict())
        loaded = adapter(4)
        torch.testing.assert_close(loaded, other.train()(4))
        assert not torch.allclose(before, loaded)
        adapter.refinement.norm.bias.add_(3.0)
        assert not torch.allclose(loaded, adapter(4))
        assert adapter.to(torch.bfloat16)(4).dtype == torch.bfloat16


def test_kept_positions_follow_training_steps_between_evaluations(
    adapter: PositionAdapter,
) -> None:
    with torch.no_grad():
        before = adapter(4)
    adapter.train()
    adapter.table.weight.data.mul_(-5.0)
    adapter.eval()
    with torch.no_grad():
        assert not torch.allclose(before, adapter(4))


def test_kept_positions_differ_by_grid_and_autocast_and_leave_the_state_alone(
    adapter: PositionAdapter,
) -> None:
    with torch.no_grad():
        exact = adapter(4)
        assert adapter(6).shape == (1, 6, 6, 6)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = adapter(4)
        assert not torch.equal(exact, rounded.float())
        assert torch.equal(adapter(4), exact)
    assert set(adapter.state_dict()) == {
        "table.weight",
        "refinement.convolution.weight",
        "refinement.norm.weight",
        "refinement.norm.bias",
    }


@pytest.mark.parametrize("is_warm", [False, True])
def test_an_exported_graph_has_the_positions_as_they_are_now(
    adapter: PositionAdapter, is_warm: bool
) -> None:
    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positions = adapter

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return tokens + self.positions(4)

    other = PositionAdapter(table_size=8, width=6).eval()
    tokens = torch.zeros(1, 4, 4, 6)
    with torch.no_grad():
        adapter(4)
        adapter.load_state_dict(other.state_dict())
        if is_warm:
            adapter(4)
        exported = torch.export.export(Holder().eval(), (tokens,)).module()
        torch.testing.assert_close(exported(tokens), other(4))


def test_positions_take_part_in_the_graph_when_gradients_are_wanted(
    adapter: PositionAdapter,
) -> None:
    with torch.no_grad():
        adapter(4)
    adapter(4).sum().backward()
    assert adapter.refinement.convolution.weight.grad is not None


@pytest.mark.parametrize("input_size", [32, 48, 128])
def test_input_size_is_free(input_size: int) -> None:
    segmenter = build_segmenter("samus_tiny", input_size=input_size).eval()
    prompts = Prompts(
        image_index=torch.tensor([0]),
        points=torch.tensor([[[5.0, 6.0]]]),
        point_labels=torch.tensor([[1]]),
    )
    with torch.no_grad():
        answer = segmenter(torch.rand(1, 1, input_size, input_size), prompts)
    assert answer.low_resolution_logits.shape == (1, 1, input_size, input_size)


def run_once(segmenter: Segmenter) -> torch.Tensor:
    torch.manual_seed(7)
    images = torch.rand(2, 1, 64, 64)
    prompts = Prompts(
        image_index=torch.tensor([0, 1]),
        points=torch.rand(2, 1, 2) * 64,
        point_labels=torch.ones(2, 1, dtype=torch.long),
    )
    segmenter.zero_grad()
    segmenter(images, prompts).low_resolution_logits.square().mean().backward()
    return torch.cat([p.grad.flatten() for p in segmenter.parameters() if p.grad is not None])


def test_gradients_are_the_same_bit_for_bit_when_computed_again() -> None:
    segmenter = build_segmenter("samus_tiny").train()
    assert torch.equal(run_once(segmenter), run_once(segmenter))


def test_no_prompt_is_refused() -> None:
    segmenter = build_segmenter("samus_tiny")
    with pytest.raises(ValueError, match="give points, boxes or masks"):
        segmenter(torch.rand(1, 1, 64, 64))
