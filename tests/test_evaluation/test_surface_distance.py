import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation.surface_distance import (
    boundary_pixels,
    directed_boundary_distances,
    image_diagonal,
    measure_surface_distances,
)

MISS = 1_000.0


def measure(predicted, reference, *, spacing=(1.0, 1.0), tolerance=2.0):
    return measure_surface_distances(
        predicted,
        reference=reference,
        tolerance=tolerance,
        distance_of_a_miss=MISS,
        spacing=spacing,
    )


def disk(*, shape=(200, 160), centre=(60, 70), radius=20.0):
    rows, columns = np.indices(shape)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def distances_by_brute_force(mask, other, spacing):
    """Distances of one boundary to the other by comparing every pixel with every pixel."""

    def boundary(of):
        rows, columns = of.shape
        inside = {(row, column) for row, column in np.argwhere(of)}
        neighbours = [(-1, 0), (1, 0), (0, -1), (0, 1)]
        return [
            (row, column)
            for row, column in itertools.product(range(rows), range(columns))
            if (row, column) in inside
            and any((row + down, column + right) not in inside for down, right in neighbours)
        ]

    return [
        min(
            math.hypot((row - other_row) * spacing[0], (column - other_column) * spacing[1])
            for other_row, other_column in boundary(other)
        )
        for row, column in boundary(mask)
    ]


non_empty_masks = arrays(bool, (7, 9)).filter(np.any)
spacings = st.tuples(st.floats(0.05, 4.0), st.floats(0.05, 4.0))


def test_boundary_is_the_mask_without_its_four_neighbour_erosion():
    mask = np.zeros((6, 7), dtype=bool)
    mask[1:5, 1:6] = True
    expected = mask.copy()
    expected[2:4, 2:5] = False
    assert np.array_equal(boundary_pixels(mask), expected)


def test_boundary_of_a_mask_cut_by_the_image_lies_on_the_images_edge():
    mask = np.ones((4, 5), dtype=bool)
    expected = np.ones((4, 5), dtype=bool)
    expected[1:3, 1:4] = False
    assert np.array_equal(boundary_pixels(mask), expected)


def test_two_single_pixels_are_as_far_apart_as_pythagoras_says():
    predicted, reference = np.zeros((10, 10), dtype=bool), np.zeros((10, 10), dtype=bool)
    predicted[1, 2], reference[4, 6] = True, True
    pixels = measure(predicted, reference)
    assert pixels.hausdorff_95 == pytest.approx(5.0)
    assert pixels.average == pytest.approx(5.0)
    assert pixels.share_within_tolerance == 0.0
    millimetres = measure(predicted, reference, spacing=(2.0, 0.5))
    assert millimetres.hausdorff_95 == pytest.approx(math.hypot(6.0, 2.0))


def test_squares_side_by_side_have_the_distances_computed_by_hand():
    # Two 3 x 3 squares, 4 columns apart: of 8 boundary pixels each, the near column of 3 is 2
    # away, the middle two are 3 away, the far column of 3 is 4 away.
    predicted, reference = np.zeros((3, 9), dtype=bool), np.zeros((3, 9), dtype=bool)
    predicted[:, 0:3], reference[:, 4:7] = True, True
    result = measure(predicted, reference, tolerance=2.0)
    assert result.hausdorff_95 == pytest.approx(4.0)
    assert result.average == pytest.approx((3 * 2 + 2 * 3 + 3 * 4) / 8)
    assert result.share_within_tolerance == pytest.approx(3 / 8)


def test_the_larger_direction_counts():
    # The prediction holds the reference and a far extra pixel: only one direction sees it.
    reference, predicted = np.zeros((3, 40), dtype=bool), np.zeros((3, 40), dtype=bool)
    reference[1, 0:10] = True
    predicted[1, 0:10], predicted[1, 38] = True, True
    forth, back = directed_boundary_distances(predicted, reference=reference)
    assert max(back) == 0.0
    assert sorted(forth)[-1] == pytest.approx(29.0)
    result = measure(predicted, reference)
    assert result.hausdorff_95 == pytest.approx(np.percentile([0.0] * 10 + [29.0], 95))


@pytest.mark.parametrize("shift", [10, 80, 100])
def test_a_disk_shifted_down_is_as_far_away_as_it_was_shifted(shift):
    # The SAMUS family takes the rows of the mask for points, and finds 0 for any shift downwards.
    reference, predicted = disk(centre=(40, 70)), disk(centre=(40 + shift, 70))
    farthest = max(map(np.max, directed_boundary_distances(predicted, reference=reference)))
    assert farthest == pytest.approx(shift)
    assert 0.9 * shift < measure(predicted, reference).hausdorff_95 <= shift


def test_more_misses_never_improve_the_mean():
    # Measured on MONAI: NaN for a miss is dropped from the mean, 4.0 for 0 as for 99 misses.
    reference, close = disk(), disk(centre=(64, 70))
    nothing = np.zeros_like(reference)
    diagonal = image_diagonal(reference.shape)
    means = []
    for num_missed in (0, 50, 90, 99):
        answers = [nothing] * num_missed + [close] * (100 - num_missed)
        found = [
            measure_surface_distances(
                answer, reference=reference, tolerance=2.0, distance_of_a_miss=diagonal
            ).hausdorff_95
            for answer in answers
        ]
        means.append(np.mean(found))
    assert np.all(np.diff(means) > 0)


@pytest.mark.parametrize("is_miss", [True, False], ids=["missed", "invented"])
def test_one_empty_mask_counts_with_the_given_distance(is_miss):
    something, nothing = disk(), np.zeros((200, 160), dtype=bool)
    pair = (nothing, something) if is_miss else (something, nothing)
    result = measure(*pair)
    assert (result.hausdorff_95, result.average, result.share_within_tolerance) == (MISS, MISS, 0)


def test_two_empty_masks_have_nothing_to_measure():
    nothing = np.zeros((5, 5), dtype=bool)
    result = measure(nothing, nothing)
    assert math.isnan(result.hausdorff_95)
    assert math.isnan(result.average)
    assert math.isnan(result.share_within_tolerance)


def test_no_distance_in_an_image_exceeds_its_diagonal():
    first, second = np.zeros((7, 9), dtype=bool), np.zeros((7, 9), dtype=bool)
    first[0, 0], second[-1, -1] = True, True
    for spacing in [(1.0, 1.0), (0.2, 3.0)]:
        found = measure(first, second, spacing=spacing).hausdorff_95
        assert found < image_diagonal((7, 9), spacing=spacing)


@settings(max_examples=30, deadline=None)
@given(predicted=non_empty_masks, reference=non_empty_masks, spacing=spacings)
def test_distances_equal_those_of_a_comparison_of_all_pixels(predicted, reference, spacing):
    forth, back = directed_boundary_distances(predicted, reference=reference, spacing=spacing)
    assert forth == pytest.approx(distances_by_brute_force(predicted, reference, spacing))
    assert back == pytest.approx(distances_by_brute_force(reference, predicted, spacing))


@settings(max_examples=30, deadline=None)
@given(predicted=non_empty_masks, reference=non_empty_masks, spacing=spacings)
def test_exchanging_the_masks_changes_nothing(predicted, reference, spacing):
    there, back = (
        measure(predicted, reference, spacing=spacing),
        measure(reference, predicted, spacing=spacing),
    )
    assert there.hausdorff_95 == pytest.approx(back.hausdorff_95)
    assert there.average == pytest.approx(back.average)
    assert there.share_within_tolerance == pytest.approx(back.share_within_tolerance)


@settings(max_examples=30, deadline=None)
@given(
    predicted=non_empty_masks,
    reference=non_empty_masks,
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
)
def test_moving_both_masks_away_from_the_edge_changes_nothing(predicted, reference, rows, columns):
    moved = [
        np.pad(mask, ((rows, 7 - rows), (columns, 7 - columns))) for mask in (predicted, reference)
    ]
    assert measure(*moved) == measure(predicted, reference)


@settings(max_examples=30, deadline=None)
@given(predicted=non_empty_masks, reference=non_empty_masks, scale=st.floats(0.01, 50.0))
def test_distances_scale_with_the_spacing(predicted, reference, scale):
    pixels = measure(predicted, reference)
    scaled = measure(predicted, reference, spacing=(scale, scale))
    assert scaled.hausdorff_95 == pytest.approx(pixels.hausdorff_95 * scale)
    assert scaled.average == pytest.approx(pixels.average * scale)


@settings(max_examples=30, deadline=None)
@given(mask=non_empty_masks, spacing=spacings)
def test_a_mask_is_at_no_distance_from_itself(mask, spacing):
    result = measure(mask, mask, spacing=spacing)
    assert (result.hausdorff_95, result.average, result.share_within_tolerance) == (0.0, 0.0, 1.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_distances_agree_with_monai():
    # MONAI erodes with the same 4-neighbourhood and takes the border for background, so that all
    # three measures agree wherever both masks hold something. Where one is empty MONAI answers
    # NaN or infinity; ours answers the image's diagonal (see the tests of misses above).
    import torch  # noqa: PLC0415
    from monai.metrics import (  # noqa: PLC0415 -- takes 8 s
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    generator = np.random.default_rng(5)
    for spacing in [(1.0, 1.0), (0.3, 0.11)]:
        for _ in range(20):
            shape = tuple(generator.integers(20, 90, size=2))
            pair = [
                disk(
                    shape=shape,
                    centre=generator.uniform(0, 1, size=2) * shape,
                    radius=generator.uniform(2, 25),
                )
                for _ in range(2)
            ]
            if not (pair[0].any() and pair[1].any()):
                continue
            tolerance = float(generator.uniform(0.1, 4.0))
            ours = measure(*pair, spacing=spacing, tolerance=tolerance)
            first, second = (torch.from_numpy(mask)[None, None].float() for mask in pair)
            options: dict[str, Any] = {"include_background": True, "spacing": spacing}
            theirs = compute_hausdorff_distance(first, second, percentile=95, **options)
            assert ours.hausdorff_95 == pytest.approx(theirs.item(), abs=1e-4)
            theirs = compute_average_surface_distance(first, second, symmetric=True, **options)
            assert ours.average == pytest.approx(theirs.item(), abs=1e-4)
            theirs = compute_surface_dice(first, second, class_thresholds=[tolerance], **options)
            assert ours.share_within_tolerance == pytest.approx(theirs.item(), abs=1e-6)
