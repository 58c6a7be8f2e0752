import numpy as np
import pytest
from scipy.spatial.distance import cdist

from evaluation.segmentation.mask_measurement import measure_mask


def rectangle(top, left, rows, columns, *, size=(40, 50)):
    mask = np.zeros(size, dtype=bool)
    mask[top : top + rows, left : left + columns] = True
    return mask


def test_a_rectangle_is_as_long_as_its_diagonal_and_as_wide_as_its_short_side():
    found = measure_mask(rectangle(3, 4, 6, 8), spacing_millimetres=None)
    assert (found.num_pixels, found.num_pieces, found.area, found.unit) == (48, 1, 48.0, "px")
    assert found.longest_diameter == pytest.approx(10.0)
    assert found.shortest_diameter == pytest.approx(6.0)


def test_rows_and_columns_of_different_spacing_are_told_apart():
    found = measure_mask(rectangle(3, 4, 6, 8), spacing_millimetres=(0.5, 0.1))
    assert (found.area, found.unit) == (pytest.approx(48 * 0.05), "mm")
    assert found.longest_diameter == pytest.approx(np.hypot(3.0, 0.8))
    assert found.shortest_diameter == pytest.approx(0.8)


def test_one_pixel_has_the_size_of_a_pixel():
    found = measure_mask(rectangle(0, 0, 1, 1), spacing_millimetres=(2.0, 3.0))
    assert found.area == pytest.approx(6.0)
    assert found.longest_diameter == pytest.approx(np.hypot(2.0, 3.0))
    assert found.shortest_diameter == pytest.approx(2.0)


def test_a_tilted_ellipse_has_the_axes_that_it_was_drawn_with():
    down, right = np.mgrid[:200, :200] - 99.5
    angle = np.deg2rad(30)
    along, across = (
        right * np.cos(angle) + down * np.sin(angle),
        down * np.cos(angle) - right * (np.sin(angle)),
    )
    found = measure_mask((along / 80) ** 2 + (across / 30) ** 2 <= 1, spacing_millimetres=None)
    assert found.longest_diameter == pytest.approx(160, abs=1.5)
    assert found.shortest_diameter == pytest.approx(60, abs=1.5)
    assert found.area == pytest.approx(np.pi * 80 * 30, rel=0.005)


def test_diameters_are_those_of_a_search_over_all_corners_and_directions():
    mask = np.random.default_rng(0).random((12, 12)) < 0.75
    found = measure_mask(mask, spacing_millimetres=(0.7, 1.3))
    assert found.num_pieces == 1
    pixels = np.argwhere(mask)[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    corners = pixels.reshape(-1, 2) * [0.7, 1.3]
    assert found.longest_diameter == pytest.approx(cdist(corners, corners).max())
    angles = np.linspace(0, np.pi, 7200)
    widths = np.ptp(corners @ np.stack([np.sin(angles), np.cos(angles)]), axis=0)
    assert found.shortest_diameter == pytest.approx(widths.min(), rel=1e-3)


def test_a_stray_speck_counts_as_area_but_not_for_the_diameters():
    found = measure_mask(rectangle(3, 4, 6, 8) | rectangle(38, 48, 1, 1), spacing_millimetres=None)
    assert (found.num_pixels, found.num_pieces) == (49, 2)
    assert found.longest_diameter == pytest.approx(10.0)


def test_an_empty_mask_has_no_size():
    found = measure_mask(rectangle(0, 0, 0, 0), spacing_millimetres=(0.1, 0.1))
    assert (found.num_pieces, found.area, found.longest_diameter) == (0, 0.0, 0.0)
