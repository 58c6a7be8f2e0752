import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.duplicates import draw_table
from shards.audit.candidate_pairs import MAX_WITHIN_SPLIT, DescriptorTable, find_candidates
from shards.audit.image_descriptors import (
    DESCRIPTOR,
    HASH_MASK,
    MIRRORED_BIT,
    describe_image,
    make_thumbnail,
)
from shards.audit.pair_confirmation import PlaneMap, confirm_pair, map_from_matches


def cloudy(seed, *, rows=96, columns=128):
    """Return a picture with structure at many scales, as float32."""
    generator = np.random.default_rng(seed)
    layers = [
        ndimage.gaussian_filter(generator.normal(size=(rows, columns)), width) * width
        for width in (1.5, 3, 6, 12)
    ]
    picture = np.sum(layers, axis=0)
    return ((picture - picture.min()) / np.ptp(picture)).astype(np.float32)


def test_a_mirror_image_has_the_same_hashes_with_the_mirrored_bit_turned():
    picture = cloudy(0)
    hashes, mirrored = (describe_image(one)["hash"] for one in (picture, picture[:, ::-1]))
    assert hashes[0] ^ mirrored[0] == MIRRORED_BIT
    shared = set(hashes & HASH_MASK) & set(mirrored & HASH_MASK)
    assert len(shared) >= 0.8 * len(hashes)


def test_a_picture_of_one_value_has_no_descriptor():
    assert len(describe_image(np.zeros((96, 128), np.float32))) == 0


def test_a_thumbnail_keeps_the_proportions():
    assert make_thumbnail(np.zeros((300, 400, 3), np.uint8)).shape == (96, 128)
    assert make_thumbnail(np.zeros((40, 20), np.uint8)).shape == (128, 64)


def test_pairs_planted_among_hashes_drawn_by_chance_are_found():
    table, planted = draw_table(2000, seed=1)
    found = {(pair.first, pair.second) for pair in find_candidates(table)}
    assert len(planted & found) >= 0.95 * len(planted)
    assert len(found - planted) <= 2


def test_pictures_of_one_subject_are_no_candidates():
    table, planted = draw_table(200, seed=1)
    groups = table.groups.copy()
    first, second = min(planted)
    groups[second] = groups[first]
    grouped = dataclasses.replace(table, groups=groups)
    found = {(pair.first, pair.second) for pair in find_candidates(grouped)}
    assert found == planted - {(first, second)}


def test_many_alike_pictures_do_not_become_pairs_of_each_with_each():
    """All of them carry the same five hashes, as what a scanner writes on every picture."""
    generator = np.random.default_rng(0)
    descriptors = np.zeros((500, 20), DESCRIPTOR)
    descriptors["hash"] = generator.integers(0, 2**62, (500, 20), dtype=np.uint64)
    descriptors["hash"][:, 10:15] = generator.integers(0, 2**62, 5, dtype=np.uint64)
    table = DescriptorTable(
        descriptors=descriptors.ravel(),
        starts=np.arange(501) * 20,
        groups=np.arange(500, dtype=np.int32),
        splits=np.zeros(500, np.int8),
    )
    assert len(list(find_candidates(table))) <= 500 * MAX_WITHIN_SPLIT


def test_nothing_at_all_has_no_candidates():
    table = DescriptorTable(
        descriptors=np.empty(0, DESCRIPTOR),
        starts=np.zeros(1, int),
        groups=np.empty(0, np.int32),
        splits=np.empty(0, np.int8),
    )
    assert list(find_candidates(table)) == []


def test_a_crop_is_laid_onto_its_original_from_a_rough_start():
    picture = cloudy(3)
    crop = make_thumbnail((255 * picture[10:82, 20:116]).astype(np.uint8))
    rough = PlaneMap(scale=(1.3, 1.3), shift=(-0.1, -0.18))
    found = confirm_pair(picture, crop, start=rough)
    assert found.plane_map.scale == pytest.approx((128 / 96, 128 / 96), abs=0.02)
    assert found.plane_map.shift == pytest.approx((-10 / 96, -20 / 96), abs=0.02)
    assert found.correlation > 0.95
    assert found.is_duplicate


def test_two_pictures_that_share_only_their_coarse_shading_are_not_the_same():
    rows = np.linspace(0, 1, 96, dtype=np.float32)[:, None]
    first, second = (0.8 * rows + 0.2 * cloudy(seed) for seed in (1, 2))
    found = confirm_pair(first, second, start=PlaneMap(scale=(1.0, 1.0), shift=(0.0, 0.0)))
    assert not found.is_duplicate


def test_a_copy_of_a_small_part_is_not_the_same_picture():
    picture = cloudy(4)
    other = cloudy(5)
    other[:48, :48] = picture[:48, :48]
    found = confirm_pair(picture, other, start=PlaneMap(scale=(1.0, 1.0), shift=(0.0, 0.0)))
    assert not found.is_duplicate


def test_the_map_is_what_most_matches_say():
    first = np.zeros(6, DESCRIPTOR)
    generator = np.random.default_rng(0)
    for name in ("row", "column"):
        first[name] = generator.uniform(0.1, 0.9, 6)
    first["height"] = first["width"] = 0.1
    second = first.copy()
    second["row"] = 1.25 * first["row"] - 0.1
    second["column"] = 1.25 * first["column"] + 0.05
    second["height"] = second["width"] = 0.125
    second["row"][4:] = 0.99 - second["row"][4:]
    found = map_from_matches(first, second)
    assert found.scale == pytest.approx((1.25, 1.25), abs=0.02)
    assert found.shift == pytest.approx((-0.1, 0.05), abs=0.02)
