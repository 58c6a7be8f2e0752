import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shards import RunLength, UltrasoundObject, hash_pixels, make_key
from shards.sample import KEY_PATTERN


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_lengths_give_back_any_mask(mask):
    rle = RunLength.from_json(RunLength.from_mask(mask).to_json())
    assert np.array_equal(rle.mask(), mask)
    assert rle.area_pixels() == mask.sum()


def test_components_touching_at_a_corner_are_one():
    mask = np.zeros((6, 6), dtype=bool)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = True
    thing = UltrasoundObject.from_mask(mask, category="square", organ="toy")
    assert thing.num_components == 2
    assert np.array_equal(thing.mask(), mask)


@pytest.mark.parametrize("name", ["benign (98)", "1.2.840.10008", "Ä ö.png", "a/b"])
def test_keys_hold_nothing_that_cuts_a_tar_member(name):
    key = make_key("Breast-BUSI", name=name)
    assert KEY_PATTERN.fullmatch(key)
    assert key.startswith("breast-busi__")


def test_a_name_too_long_for_a_tar_header_is_refused():
    with pytest.raises(ValueError, match=r"toy/x+: the key would have 95 characters.*Shorten"):
        make_key("toy", name="x" * 90)


def test_the_same_bytes_in_another_shape_are_other_pixels():
    image = np.arange(64, dtype=np.uint8)
    assert hash_pixels(image.reshape(8, 8)) != hash_pixels(image.reshape(4, 16))
    assert hash_pixels(image.reshape(8, 8)) == hash_pixels(image.reshape(8, 8).T.T)
