import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation import PROTOCOLS, ImagePrompt
from evaluation.protocols import (
    MORE_PROTOCOLS,
    boxes_around,
    is_after_clicks,
    is_in_tables,
    next_click,
    object_generator,
    protocol_named,
    rows_after,
    what_is_told,
)

CLICKS = ["published_click", "centre_point", "random_point"]
"""Those that promise to lie in the object."""

JITTERS = [5, 10, 20]
NOISES = [5, 10, 20, 30, 50]


def generator():
    return np.random.default_rng(0)


def some_object():
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 20:50] = True
    return mask


def clicked_pixel(prompt):
    ((x, y),) = prompt.points
    assert (x % 1, y % 1) == (0, 0)
    return int(y), int(x)


@pytest.mark.parametrize("name", CLICKS)
@settings(max_examples=40, deadline=None)
@given(mask=arrays(bool, (6, 8)).filter(np.any))
def test_a_click_lies_in_the_object(name, mask):
    prompt = PROTOCOLS[name](mask, generator())
    assert mask[clicked_pixel(prompt)]
    assert prompt.point_labels == (1,)
    assert prompt.box is None


def test_published_click_is_the_middle_pixel_in_raster_order():
    mask = np.zeros((4, 6), dtype=bool)
    mask[0, 1:3], mask[2, 2:5] = True, True  # 5 pixels; the third one is the first of row 2
    assert clicked_pixel(PROTOCOLS["published_click"](mask, generator())) == (2, 2)
    mask[3, 0] = True  # 6 pixels: number 6 // 2, counted from 0
    assert clicked_pixel(PROTOCOLS["published_click"](mask, generator())) == (2, 3)


def test_centre_point_of_a_ring_lies_on_the_ring():
    rows, columns = np.indices((41, 41))
    radius = np.hypot(rows - 20, columns - 20)
    ring = (radius > 8) & (radius < 16)
    row, column = clicked_pixel(PROTOCOLS["centre_point"](ring, generator()))
    assert ring[row, column]
    assert 11 <= np.hypot(row - 20, column - 20) <= 13


def test_centre_point_takes_the_images_edge_for_background():
    mask = np.zeros((9, 21), dtype=bool)
    mask[:, :9] = True
    assert clicked_pixel(PROTOCOLS["centre_point"](mask, generator())) == (4, 4)


def test_random_point_reaches_every_pixel_and_follows_its_generator():
    mask = np.zeros((5, 5), dtype=bool)
    mask[1, 1], mask[3, 2], mask[4, 4] = True, True, True
    draw, source = PROTOCOLS["random_point"], generator()
    assert {clicked_pixel(draw(mask, source)) for _ in range(60)} == {(1, 1), (3, 2), (4, 4)}
    assert draw(mask, generator()) == draw(mask, generator())


def test_box_runs_along_the_outer_edges_of_the_object():
    mask = np.zeros((20, 30), dtype=bool)
    mask[4:9, 7] = True
    assert PROTOCOLS["box"](mask, generator()) == ImagePrompt(box=(6.5, 3.5, 7.5, 8.5))


def test_mass_centre_is_the_mean_position_even_outside_of_the_object():
    mask = np.zeros((3, 5), dtype=bool)
    mask[0], mask[2], mask[1, 0] = True, True, True
    ((x, y),) = PROTOCOLS["mass_centre"](mask, generator()).points
    assert (x, y) == pytest.approx((20 / 11, 1.0))
    assert not mask[1, 2]


@pytest.mark.parametrize("percent", JITTERS)
@settings(max_examples=40, deadline=None)
@given(mask=arrays(bool, (6, 8)).filter(np.any), seed=st.integers(0, 99))
def test_a_jittered_box_stays_near_the_box_and_in_the_image(percent, mask, seed):
    tight = np.array(PROTOCOLS["box"](mask, generator()).box).reshape(2, 2)
    draw = PROTOCOLS[f"box_jitter_{percent}"]
    moved = np.array(draw(mask, np.random.default_rng(seed)).box).reshape(2, 2)
    reach = percent / 100 * (tight[1] - tight[0])
    assert (moved[1] - moved[0] >= 1 - 1e-9).all()
    assert (moved >= -0.5).all()
    assert (moved <= np.array([7.5, 5.5])).all()
    assert (np.abs(moved - tight) <= np.maximum(reach, 1) + 1e-9).all()


@pytest.mark.parametrize("percent", NOISES)
def test_a_noisy_point_reaches_as_far_as_it_says_and_no_farther(percent):
    mask = some_object()
    (centre,) = PROTOCOLS["centre_point"](mask, generator()).points
    source, draw = generator(), PROTOCOLS[f"noisy_point_{percent}"]
    prompts = [draw(mask, source) for _ in range(200)]
    moved = np.array([prompt.points[0] for prompt in prompts]) - centre
    reach = percent / 100 * np.array([30, 20])
    assert (np.abs(moved) <= reach).all()
    assert (np.abs(moved).max(axis=0) > 0.9 * reach).all()
    assert {prompt.point_labels for prompt in prompts} == {(1,)}


def test_the_same_object_is_missed_in_the_same_direction_by_more_noise():
    mask, centre = some_object(), np.array([34.0, 19.0])
    little, much = (
        np.array(PROTOCOLS[f"noisy_point_{percent}"](mask, generator()).points[0]) - centre
        for percent in (10, 30)
    )
    (start,) = PROTOCOLS["centre_point"](mask, generator()).points
    assert much + centre - start == pytest.approx(3 * (little + centre - start))


def test_the_next_click_lies_in_the_middle_of_the_largest_error():
    reference, answer = some_object(), np.zeros((40, 60), dtype=bool)
    prompt = PROTOCOLS["centre_point"](reference, generator())
    answer[10:30, 20:40] = True  # ten columns are missing
    answer[0:5, 0:5] = True  # and a smaller square is too much
    missing = next_click(prompt, answer=answer, reference=reference)
    assert missing.point_labels == (1, 1)
    x, y = missing.points[-1]
    assert (40 <= x < 50, 10 <= y < 30) == (True, True)
    excess = next_click(missing, answer=answer | reference, reference=reference)
    assert excess.point_labels == (1, 1, 0)
    assert excess.points[-1] == (2.0, 2.0)
    assert excess.points[:2] == missing.points
    assert next_click(excess, answer=reference, reference=reference) is excess


def test_a_detector_gives_a_box_for_each_part_but_not_for_specks():
    found = some_object()
    found[2:8, 2:12], found[38, 58] = True, True
    assert boxes_around(found) == [
        ImagePrompt(box=(1.5, 1.5, 11.5, 7.5)),
        ImagePrompt(box=(19.5, 9.5, 49.5, 29.5)),
    ]
    assert boxes_around(np.zeros((4, 4), dtype=bool)) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, "") for name in [*PROTOCOLS, *MORE_PROTOCOLS]),
        (rows_after(7), r"\(here 7\)"),
        ("box_label_map", "tight bounding box.*one label map"),
        (f"{rows_after(10)}_label_map", r"\(here 10\); the answers"),
    ],
)
def test_every_protocol_of_a_row_is_told_in_words(name, words):
    assert re.search(words, what_is_told(name))
    assert len(what_is_told(name)) > 20


def test_steps_of_the_clicks_are_told_from_other_protocols():
    steps = [rows_after(2), f"{rows_after(2)}_label_map"]
    assert all(is_after_clicks(name) for name in steps)
    assert not any(is_in_tables(name) for name in steps)
    for name in ("box", "box_label_map"):
        assert not is_after_clicks(name)
        assert is_in_tables(name)
    in_order = [rows_after(count) for count in range(1, 11)]
    assert sorted(in_order) == in_order


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_protocols_say_what_they_tell_and_refuse_an_empty_mask(name):
    assert PROTOCOLS[name].tells
    with pytest.raises(ValueError, match="reference mask is empty"):
        PROTOCOLS[name](np.zeros((3, 3), dtype=bool), generator())


def test_unknown_protocols_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no protocol 'clicks'.*published_click"):
        protocol_named("clicks")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 9), index=st.integers(0, 9))
def test_every_object_has_a_generator_of_its_own(seed, index):
    def first_draw(**change):
        where = {"seed": seed, "key": "a__b", "object_index": index} | change
        return object_generator(**where).random()

    assert first_draw() == first_draw()
    others = [{"seed": seed + 1}, {"key": "a__c"}, {"object_index": index + 1}]
    assert first_draw() not in [first_draw(**change) for change in others]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"points": ((1.0, 1.0),), "point_labels": ()}, "1 points have 0 labels"),
        ({"points": ((1.0, 1.0),), "point_labels": (2,)}, "must be 1"),
        ({}, "at least one point or a box"),
        ({"box": (3.0, 1.0, 3.0, 5.0)}, "is empty"),
    ],
)
def test_prompts_that_ask_nothing_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ImagePrompt(**values)
