"""Prompts drawn from masks: where they land, and that they are drawn and not remembered."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from model import PromptSimulationConfig, SimulatedPrompt, error_clicks, simulate_prompt

SHAPES = st_numpy.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
MASKS = st_numpy.arrays(dtype=np.bool_, shape=SHAPES, elements=st.booleans())
SEEDS = st.integers(min_value=0, max_value=2**32)
CONFIGS = st.builds(
    PromptSimulationConfig,
    box_probability=st.sampled_from([0.0, 0.5, 1.0]),
    max_positive_points=st.integers(1, 4),
    max_negative_points=st.integers(0, 3),
    negative_margin_fraction=st.sampled_from([0.0, 0.3, 2.0]),
    box_jitter_fraction=st.sampled_from([0.0, 0.1, 0.5]),
)


def draw(
    mask: np.ndarray, *, seed: int = 0, config: PromptSimulationConfig | None = None
) -> SimulatedPrompt:
    return simulate_prompt(mask, np.random.default_rng(seed), config or PromptSimulationConfig())


def pixels_of(prompt: SimulatedPrompt, label: int) -> np.ndarray:
    """Columns and rows of the points with a label; a click is on the centre of its pixel."""
    points = prompt.points[prompt.point_labels == label]
    assert np.array_equal(points, np.round(points))
    return points.astype(int)


@settings(max_examples=30, deadline=None)
@given(mask=MASKS, seed=SEEDS, config=CONFIGS)
def test_clicks_labelled_inside_are_inside_and_those_outside_are_outside(mask, seed, config):
    prompt = draw(mask, seed=seed, config=config)
    assert prompt.points.shape == (config.num_slots, 2)
    for label, expected in ((1, True), (0, False)):
        if label == 0 and mask.all():
            continue
        columns, rows = pixels_of(prompt, label).T
        assert (mask[rows, columns] == expected).all()


@settings(max_examples=30, deadline=None)
@given(mask=MASKS, seed=SEEDS, config=CONFIGS)
def test_every_object_gets_a_prompt_of_either_clicks_or_one_box(mask, seed, config):
    labels = draw(mask, seed=seed, config=config).point_labels.tolist()
    used = [label for label in labels if label != -1]
    if not mask.any():
        assert used == [0]
    elif 2 in used:
        assert used == [2, 3]
    else:
        assert 1 <= used.count(1) <= config.max_positive_points
        assert used.count(0) <= config.max_negative_points


@settings(max_examples=30, deadline=None)
@given(mask=MASKS.filter(np.any), seed=SEEDS, jitter=st.floats(0.0, 0.5))
def test_a_jittered_box_stays_in_the_image_and_near_the_object(mask, seed, jitter):
    config = PromptSimulationConfig(box_probability=1.0, box_jitter_fraction=jitter)
    prompt = draw(mask, seed=seed, config=config)
    (x0, y0), (x1, y1) = prompt.points[-2:] + 0.5
    rows, columns = mask.shape
    assert 0 <= x0 <= x1 - 0.999
    assert 0 <= y0 <= y1 - 0.999
    assert x1 <= columns
    assert y1 <= rows
    used_rows, used_columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    width, height = np.ptp(used_columns) + 1, np.ptp(used_rows) + 1
    assert abs(x0 - used_columns[0]) <= jitter * width + 1e-4
    assert abs(y1 - used_rows[-1] - 1) <= max(jitter * height, 1.0) + 1e-4


def test_a_box_without_jitter_runs_along_the_outer_edges_of_the_object():
    mask = np.zeros((10, 20), dtype=bool)
    mask[2:5, 7:15] = True
    config = PromptSimulationConfig(box_probability=1.0, box_jitter_fraction=0.0)
    prompt = draw(mask, config=config)
    assert prompt.points[-2:].tolist() == [[6.5, 1.5], [14.5, 4.5]]
    assert prompt.point_labels[-2:].tolist() == [2, 3]
    assert (prompt.point_labels[:-2] == -1).all()


def test_a_shifted_box_keeps_its_size_and_a_margin_only_enlarges_it():
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:40, 24:34] = True
    plain: dict[str, Any] = {"box_probability": 1.0, "box_jitter_fraction": 0.0}
    options: list[dict[str, Any]] = [{"box_shift_pixels": 5.0}, {"box_margin_pixels": 8.0}]
    tight = np.array([[23.5, 19.5], [33.5, 39.5]])
    shifts, margins = (
        np.stack(
            [
                draw(mask, seed=seed, config=PromptSimulationConfig(**plain, **option)).points[-2:]
                for seed in range(50)
            ]
        )
        - tight
        for option in options
    )
    np.testing.assert_allclose(shifts[:, 0], shifts[:, 1], atol=1e-5)
    assert np.ptp(shifts[:, 0, 0] - shifts[:, 0, 1]) > 1  # x and y on their own
    assert 4 < np.abs(shifts).max() <= 5
    assert (margins[:, 0] <= 0).all()
    assert (margins[:, 1] >= 0).all()
    assert 7 < np.abs(margins).max() <= 8


def test_points_are_x_before_y():
    mask = np.zeros((10, 20), dtype=bool)
    mask[3, 17] = True
    prompt = draw(mask, config=PromptSimulationConfig(box_probability=0.0, max_negative_points=0))
    assert prompt.points[0].tolist() == [17.0, 3.0]


def test_clicks_outside_lie_beside_the_object():
    mask = np.zeros((200, 200), dtype=bool)
    mask[90:110, 60:140] = True
    config = PromptSimulationConfig(box_probability=0.0, negative_margin_fraction=0.25)
    drawn = [pixels_of(draw(mask, seed=seed, config=config), 0) for seed in range(200)]
    columns, rows = np.concatenate(drawn).T
    assert len(columns) > 100
    assert columns.min() >= 60 - 20
    assert columns.max() < 140 + 20
    assert rows.min() >= 90 - 8
    assert rows.max() < 110 + 8


def test_a_mask_that_fills_the_image_gets_no_click_outside():
    config = PromptSimulationConfig(box_probability=0.0)
    everywhere = np.ones((6, 6), dtype=bool)
    prompts = [draw(everywhere, seed=seed, config=config) for seed in range(40)]
    labels = {label for prompt in prompts for label in prompt.point_labels.tolist()}
    assert labels == {1, -1}


def test_one_random_click_is_spread_evenly_over_the_object():
    mask = np.zeros((8, 8), dtype=bool)
    mask[1:3, 1:5] = True
    published = PromptSimulationConfig(
        box_probability=0.0, max_positive_points=1, max_negative_points=0
    )
    counts = np.zeros((8, 8))
    for seed in range(800):
        ((column, row),) = pixels_of(draw(mask, seed=seed, config=published), 1)
        counts[row, column] += 1
    assert (counts[~mask] == 0).all()
    # 100 are expected on each of the 8 pixels; 5 standard deviations are 47.
    assert np.abs(counts[mask] - 100).max() < 47


def test_boxes_come_as_often_as_asked():
    mask = np.ones((4, 4), dtype=bool)
    config = PromptSimulationConfig(box_probability=0.3)
    boxes = sum(2 in draw(mask, seed=seed, config=config).point_labels for seed in range(500))
    assert 110 < boxes < 190


def test_the_same_generator_state_gives_the_same_prompt_and_another_gives_another():
    mask = np.ones((50, 50), dtype=bool)
    first, again, other = draw(mask, seed=1), draw(mask, seed=1), draw(mask, seed=2)
    assert np.array_equal(first.points, again.points)
    assert not np.array_equal(first.points, other.points)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("box_probability", 1.5),
        ("max_positive_points", 0),
        ("max_negative_points", -1),
        ("box_jitter_fraction", 0.9),
    ],
)
def test_impossible_settings_are_refused_by_the_name_typed(name, value):
    with pytest.raises(ValueError, match=rf"prompts\.{name} is {value}"):
        PromptSimulationConfig(**{name: value})


@settings(max_examples=30, deadline=None)
@given(data=st.data(), shape=SHAPES, fraction=st.floats(0.0, 1.0, exclude_max=True, width=32))
def test_an_error_click_lands_on_the_chosen_error_with_the_right_label(data, shape, fraction):
    masks = st_numpy.arrays(dtype=np.bool_, shape=shape, elements=st.booleans())
    predicted, target = data.draw(masks), data.draw(masks)
    logits = torch.where(torch.from_numpy(predicted), 2.0, -2.0)[None]
    points, labels = error_clicks(logits, torch.from_numpy(target)[None], torch.tensor([fraction]))
    errors = predicted ^ target
    region = errors if errors.any() else target if target.any() else ~target
    candidates = np.argwhere(region)
    # The product is rounded as the device rounds it, and 0.99999997 * n may round up to n.
    product = int(np.float32(fraction) * np.float32(len(candidates)))
    row, column = candidates[min(product, len(candidates) - 1)]
    assert points.tolist() == [[[float(column), float(row)]]]
    assert labels.tolist() == [[int(target[row, column])]]


def test_a_missed_pixel_is_clicked_as_inside_and_a_wrong_one_as_outside():
    targets = torch.zeros(2, 4, 6, dtype=torch.bool)
    targets[0, 1, 5] = True
    logits = torch.full((2, 4, 6), -1.0)
    logits[1, 3, 2] = 1.0
    points, labels = error_clicks(logits, targets, torch.tensor([0.7, 0.7]))
    assert points.tolist() == [[[5.0, 1.0]], [[2.0, 3.0]]]
    assert labels.tolist() == [[1], [0]]


def test_error_clicks_of_coarse_logits_are_in_framed_pixels():
    targets = torch.zeros(1, 64, 64, dtype=torch.bool)
    targets[:, 40:60, 8:20] = True
    nothing = torch.full((1, 16, 16), -3.0)
    points, labels = error_clicks(nothing, targets, torch.tensor([0.5]))
    column, row = points[0, 0].long().tolist()
    assert targets[0, row, column]
    assert labels.item() == 1


def test_no_object_gives_no_error_click():
    points, labels = error_clicks(
        torch.zeros(0, 8, 8), torch.zeros(0, 8, 8, dtype=torch.bool), torch.zeros(0)
    )
    assert points.shape == (0, 1, 2)
    assert labels.shape == (0, 1)


def test_error_clicks_carry_no_gradient():
    logits = torch.randn(1, 8, 8, requires_grad=True)
    points, _ = error_clicks(logits, torch.ones(1, 8, 8, dtype=torch.bool), torch.zeros(1))
    assert not points.requires_grad
