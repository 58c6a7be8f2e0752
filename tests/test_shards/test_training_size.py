"""Images are shrunk with their masks, and say so."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from shards import (
    UltrasoundObject,
    UltrasoundSample,
    build_corpora,
    encode_png,
    hash_pixels,
    open_corpus,
    validate_corpus,
)
from shards.training_size import SHRUNK, VANISHED, shrink_sample
from tests.support.corpora import make_sample, make_us30k


def sample_of(masks, *, rows=60, columns=80, spacing=(0.5, 0.25)) -> UltrasoundSample:
    """Return a smooth picture in which every mask (row column) is an object."""
    places = np.add.outer(np.arange(rows), 2 * np.arange(columns))
    image = places.astype(np.uint8)
    sample = make_sample(0, rows=rows, columns=columns)
    return dataclasses.replace(
        sample,
        image=image,
        objects=tuple(
            UltrasoundObject.from_mask(mask, category="square", organ="toy") for mask in masks
        ),
        origin=dataclasses.replace(
            sample.origin, spacing_millimetres=spacing, pixels_sha256=hash_pixels(image)
        ),
        encoded_image=encode_png(image),
    )


def block(rows, columns, *, shape=(60, 80)):
    mask = np.zeros(shape, dtype=bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def test_image_and_masks_shrink_together_and_the_millimetres_stay():
    masks = [block((20, 40), (40, 80)), block((30, 60), (0, 60))]
    small = shrink_sample(sample_of(masks), max_side_pixels=40)
    assert small.size == (30, 40)
    expected = [block((10, 20), (20, 40), shape=(30, 40)), block((15, 30), (0, 30), shape=(30, 40))]
    assert np.array_equal([one.mask() for one in small.objects], expected)
    assert small.origin.spacing_millimetres == (1.0, 0.5)
    assert small.origin.original_size == (60, 80)
    assert small.origin.pixels_sha256 == hash_pixels(small.image)
    assert small.encoded_image is None
    assert small.notes == (SHRUNK,)


def test_sides_that_do_not_divide_keep_the_extent_in_millimetres():
    small = shrink_sample(sample_of([]), max_side_pixels=37)
    assert small.size == (28, 37)
    spacing = small.origin.spacing_millimetres
    assert spacing is not None
    assert (spacing[0] * 28, spacing[1] * 37) == pytest.approx((60 * 0.5, 80 * 0.25))


def test_a_smaller_image_is_the_very_same():
    sample = sample_of([block((0, 9), (0, 9))])
    assert shrink_sample(sample, max_side_pixels=80) is sample


def test_every_pixel_is_averaged_over_what_it_covers():
    stripes = np.zeros((60, 80), dtype=np.uint8)
    stripes[:, ::2] = 200
    sample = dataclasses.replace(sample_of([]), image=stripes)
    small = shrink_sample(sample, max_side_pixels=40)
    assert abs(small.image[5:-5, 5:-5].astype(int) - 100).max() <= 2


def test_half_of_a_pixel_makes_a_mask_and_what_is_smaller_vanishes_with_a_note():
    masks = [block((0, 4), (3, 5)), block((10, 11), (10, 11))]
    small = shrink_sample(sample_of(masks, spacing=None), max_side_pixels=40)
    assert np.array_equal(small.objects[0].mask(), block((0, 2), (1, 3), shape=(30, 40)))
    assert len(small.objects) == 1
    assert small.notes == (SHRUNK, VANISHED)
    assert small.origin.spacing_millimetres is None


def test_a_build_of_smaller_images_is_valid_and_says_so(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    big = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    labels = np.zeros((90, 120), dtype=np.uint8)
    labels[30:60, 30:90] = 1
    tree.add_image("FetalHead-HC18", "001_HC", pixels=big, labels=labels)
    jpeg = tree.root / "FetalHead-HC18/img/002_HC.png"
    Image.fromarray(big[::-1]).save(jpeg, format="JPEG")
    tree.add_image("FetalHead-HC18", "003_HC", pixels=big[:, ::-1], labels=labels)
    Image.fromarray(labels).save(tree.root / "FetalHead-HC18/label/002_HC.png")
    manifests = build_corpora(tree.config(tmp_path / "out", max_side_pixels=60))
    assert validate_corpus(str(tmp_path / "out")) == []
    for split, manifest in manifests.items():
        corpus = open_corpus(str(tmp_path / "out" / split))
        assert corpus.manifest.max_side_pixels == 60
        assert corpus.manifest == manifest
        assert max(max(corpus.read_flat(n).size) for n in range(corpus.num_samples)) == 60
    fields = json.loads((tmp_path / "out/corpus.json").read_text())
    assert fields["options"]["max_side_pixels"] == 60
    assert fields["notes"][SHRUNK] == 3
    sample = open_corpus(str(tmp_path / "out/train")).read_flat(0)
    assert sample.origin.original_size == (90, 120)
    assert sample.objects[0].rle.area_pixels() == 15 * 30


def test_a_manifest_of_images_as_published_has_no_word_on_it(tmp_path):
    build_corpora(make_us30k(tmp_path / "raw").config(tmp_path / "out"))
    fields = json.loads((tmp_path / "out/train/manifest.json").read_text())
    assert "max_side_pixels" not in fields
