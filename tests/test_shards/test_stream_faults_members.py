"""Samples that are no samples, though every checksum vouches for them."""

import dataclasses
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards import EncodedImage, UltrasoundSample, encode_png, open_corpus
from shards.sample_members import pack_members
from shards.sample_stream import SampleError
from tests.support.corpora import make_sample, write_toy_corpus
from tests.support.forged_shards import png_that_claims, replace_only_shard, tar_member
from tests.test_shards.test_stream_faults import stream


class Evil:
    """What an unpickler would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def with_image(sample: UltrasoundSample, *, rows: int, columns: int, objects: bool = True) -> bytes:
    """Return the sample with a picture that claims another size."""
    content = png_that_claims(encode_png(sample.image).content, rows=rows, columns=columns)
    encoded = EncodedImage(content=content, extension="png")
    kept = sample.objects if objects else ()
    return pack_members(dataclasses.replace(sample, encoded_image=encoded, objects=kept))


def with_original_size(sample: UltrasoundSample, size: Any) -> UltrasoundSample:
    """Return the sample with another word on its size."""
    return dataclasses.replace(
        sample, origin=dataclasses.replace(sample.origin, original_size=size)
    )


SAMPLE = make_sample(1)
GOOD = pack_members(SAMPLE)
KEY = SAMPLE.key

HOSTILE = {
    "a picture that lies about its size": (
        with_image(SAMPLE, rows=16, columns=16),
        rf"{KEY}: cannot be decoded as a picture \(it says that it has 16 x 16 pixels, its masks",
    ),
    "a picture that would unpack to 169 million pixels": (
        with_image(SAMPLE, rows=13_000, columns=13_000),
        r"it says that it has 13000 x 13000 pixels, its masks have 24 x 32\)",
    ),
    "a bomb in a sample without masks": (
        with_image(SAMPLE, rows=60_000, columns=60_000, objects=False),
        rf"{KEY}: cannot be decoded as a picture \(.*decompression bomb",
    ),
    "169 million pixels in a sample without masks": (
        with_image(SAMPLE, rows=13_000, columns=13_000, objects=False),
        r"it says that it has 13000 x 13000 pixels, its origin allows 768 in all\)",
    ),
    "169 million pixels where not even the origin tells a size": (
        with_image(with_original_size(SAMPLE, None), rows=13_000, columns=13_000, objects=False),
        r"it says that it has 13000 x 13000 pixels, its origin allows 16777216 in all\)",
    ),
    "an origin whose size is none": (
        with_image(with_original_size(SAMPLE, ("x", 32)), rows=24, columns=32, objects=False),
        rf"{KEY}: objects or origin cannot be read",
    ),
    "a symbolic link": (
        tar_member(f"{KEY}.image.png", kind=tarfile.SYMTYPE) + GOOD,
        rf"member '{KEY}.image.png' is a link, a folder or a device",
    ),
    "a member that points outside": (
        GOOD + tar_member("../../outside", content=b"x"),
        r"member '../../outside' is none of KEY.{image.png",
    ),
    "a member of another sample": (
        GOOD + tar_member("toy__other.image.png", content=b"x"),
        r"of keys \['toy__image-00001', 'toy__other'\] do not make one sample",
    ),
    "a member without an end": (GOOD[:-512], rf"{KEY}: objects or origin cannot be read"),
}


def corpus_with(packed: bytes, *, folder: Path):
    write_toy_corpus(str(folder), num_samples=1)
    replace_only_shard(folder, [pack_members(make_sample(0)), packed, pack_members(make_sample(2))])
    return open_corpus(str(folder))


@pytest.mark.parametrize(("packed", "message"), HOSTILE.values(), ids=HOSTILE)
def test_what_no_sample_holds_stops_the_run_with_shard_and_member(tmp_path, packed, message):
    corpus = corpus_with(packed, folder=tmp_path)
    with pytest.raises(SampleError, match=rf"shard toy-00000.tar, sample 1: .*{message}") as caught:
        stream(corpus)
    assert "again" in str(caught.value)


def test_a_picture_without_masks_is_read_where_it_was_shrunk_or_turned(tmp_path):
    empty = dataclasses.replace(SAMPLE, objects=())
    for size in ((24, 32), (32, 24), (240, 320), None):
        packed = pack_members(with_original_size(empty, size))
        sample = corpus_with(packed, folder=tmp_path / str(size)).read(0, 1)
        assert np.array_equal(sample.image, SAMPLE.image)
        assert sample.origin.original_size == size


def test_a_pickle_in_a_shard_is_refused_and_never_opened(tmp_path):
    evil = tar_member(f"{KEY}.extra.pkl", content=pickle.dumps(Evil(tmp_path / "was here")))
    corpus = corpus_with(GOOD + evil, folder=tmp_path / "corpus")
    with pytest.raises(SampleError, match=rf"member '{KEY}.extra.pkl' is none of"):
        stream(corpus)
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_next_sample_of_the_shard_stands_in_for_a_broken_one(tmp_path, num_workers):
    corpus = corpus_with(HOSTILE["a symbolic link"][0], folder=tmp_path)
    items, report = stream(corpus, num_samples=6, num_workers=num_workers, replaces_broken=True)
    keys = sorted(item[1] for item in items)
    assert keys == ["toy__image-00000"] * 2 + ["toy__image-00002"] * 4
    assert len(set(report.broken)) == 1
    assert report.broken[0].startswith("toy-00000.tar, sample 1: ")
    sums = {item[2] for item in items if item[1] == "toy__image-00002"}
    assert sums == {int(make_sample(2).image.sum(dtype=np.int64))}


def test_a_shard_without_a_whole_sample_stops_the_run(tmp_path):
    write_toy_corpus(str(tmp_path), num_samples=1)
    replace_only_shard(tmp_path, [HOSTILE["a symbolic link"][0]] * 2)
    with pytest.raises(SampleError, match="no sample of the shard is whole"):
        stream(open_corpus(str(tmp_path)), replaces_broken=True)
