import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation import PROTOCOLS, ImagePrompt
from evaluation.protocols import object_generator, protocol_named

CLICKS = sorted(set(PROTOCOLS) - {"box"})


def generator():
    return np.random.default_rng(0)


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
