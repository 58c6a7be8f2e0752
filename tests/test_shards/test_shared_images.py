import dataclasses
import json

import numpy as np
import pytest

from shards import (
    build_corpora,
    find_shared_images,
    first_shared_image,
    make_key,
    open_corpus,
    validate_corpus,
    write_corpus,
)
from shards.shared_images import was_checked_at_build
from tests.support.corpora import Us30kTree, build_phantom, describe_source, make_sample


def write(url, numbers, *, name="image", sources=("toy",), size=2):
    """Write a corpus of numbered pictures, those of each source called `NAME-NUMBER`."""
    samples = [
        dataclasses.replace(
            make_sample(number, source=source), key=make_key(source, name=f"{name}-{number}")
        )
        for source in sources
        for number in numbers[source]
    ]
    write_corpus(
        samples,
        str(url),
        split="train",
        sources=[describe_source(source, licence=f"licence-{source}") for source in sources],
        max_samples_per_shard=size,
    )
    return open_corpus(str(url))


def shared(first, second):
    return [(one.first_key, one.second_key) for one in find_shared_images(first, second)]


def test_images_in_two_corpora_are_found_under_any_name_in_any_shard(tmp_path):
    numbers = {"a": range(5), "b": range(10, 13)}
    first = write(tmp_path / "a", numbers, sources=("a", "b"))
    others = {"c": [20, 12, 3], "d": [4]}
    second = write(tmp_path / "b", others, name="renamed", sources=("c", "d"), size=10)
    assert shared(first, second) == [
        ("b__image-12", "c__renamed-12"),
        ("a__image-3", "c__renamed-3"),
        ("a__image-4", "d__renamed-4"),
    ]
    assert shared(first, write(tmp_path / "c", {"toy": range(30, 33)})) == []


def test_images_that_their_licence_leaves_out_are_not_shared(tmp_path):
    numbers = {"a": [1, 2, 3], "b": [4, 5, 6]}
    both = write(tmp_path / "a", numbers, sources=("a", "b"))
    held_out = write(tmp_path / "b", {"toy": [3, 6]}, name="x")
    assert shared(both.select(licences=["licence-b"]), held_out) == [("b__image-6", "toy__x-6")]


def test_digests_that_agree_by_chance_are_no_shared_image(tmp_path):
    first = write(tmp_path / "a", {"toy": [1, 2]})
    second = write(tmp_path / "b", {"toy": [3, 4]})
    for one in (tmp_path / "a", tmp_path / "b"):
        (one / "toy.pixels").write_bytes(np.array([7, 7], "<u8").tobytes())
    assert shared(first, second) == []


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, r"toy.pixels: is missing"),
        (b"short", ValueError, r"toy.pixels: has 5 bytes; 2 images need 16"),
    ],
)
def test_a_corpus_without_its_digests_is_one_clear_error(tmp_path, content, error, message):
    corpus = write(tmp_path, {"toy": [1, 2]})
    (tmp_path / "toy.pixels").unlink()
    if content is not None:
        (tmp_path / "toy.pixels").write_bytes(content)
    with pytest.raises(error, match=message):
        shared(corpus, corpus)


def tree_with_one_picture_twice(root):
    """A picture for training lies in the test list as well, under another name."""
    tree = Us30kTree(root, classes={"Breast-BUSI": 2})
    tree.add_image("Breast-BUSI", "first")
    copy = np.zeros((20, 30), np.uint8)
    for name in ("second", "its-copy"):
        tree.add_image("Breast-BUSI", name, pixels=copy)
    tree.write_list("train", ["1/Breast-BUSI/first", "1/Breast-BUSI/second"])
    tree.write_list("test", ["Breast-BUSI/its-copy"])
    return tree


@pytest.mark.parametrize("output", ["disk", "memory://shared-images/out"])
def test_a_build_refuses_one_picture_in_two_splits_or_reports_it(tmp_path, output):
    tree = tree_with_one_picture_twice(tmp_path / "raw")
    config = tree.config(tmp_path / "unused", max_skipped_samples=9)
    config.us30k.validation_lists = []
    config.output = output if "://" in output else str(tmp_path / output)
    message = r"breast-busi__second in train and breast-busi__its-copy in test are the same"
    with pytest.raises(ValueError, match=message):
        build_corpora(config)
    with pytest.raises(FileNotFoundError):
        open_corpus(f"{config.output}/train")
    config.leaks = "report"
    build_corpora(config)
    assert validate_corpus(config.output) == []
    pair = [open_corpus(f"{config.output}/{split}") for split in ("train", "test")]
    assert was_checked_at_build(*pair)
    assert shared(*pair) == [("breast-busi__second", "breast-busi__its-copy")]
    assert first_shared_image(*pair) is None  # the build was told to keep it, and said so
    itself = first_shared_image(pair[0], pair[0])
    assert itself is not None
    assert itself.first_key == itself.second_key


def test_only_splits_of_one_whole_build_were_compared_by_it(tmp_path, caplog):
    out = build_phantom(tmp_path / "out")
    other = build_phantom(tmp_path / "other", seed=1)
    train, test = open_corpus(str(out / "train")), open_corpus(str(out / "test"))
    assert was_checked_at_build(train, test)
    assert not was_checked_at_build(train, train)
    assert not was_checked_at_build(train, open_corpus(str(other / "test")))
    assert not caplog.text
    fields = json.loads((out / "corpus.json").read_text())
    assert fields["num_shared_images"] == 0
    (out / "corpus.json").write_text(json.dumps({**fields, "num_shared_images": 3}))
    assert was_checked_at_build(train, test)
    assert "'num_shared_images': 3" in caplog.text
    (out / "corpus.json").unlink()
    assert not was_checked_at_build(train, test)
