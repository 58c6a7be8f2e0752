import dataclasses
import gc
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from webdataset.compat import WebDataset

from shards import RunLength, encode_png, open_corpus, validate_corpus, write_corpus
from tests.support.corpora import describe_source, make_sample, write_toy_corpus


def files_below(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_same_samples_give_the_same_bytes_anywhere(tmp_path):
    first = write_toy_corpus(str(tmp_path / "a"))
    second = write_toy_corpus(str(tmp_path / "elsewhere" / "b"))
    assert files_below(tmp_path / "a") == files_below(tmp_path / "elsewhere" / "b")
    assert first.content_hash == second.content_hash


# webdataset leaves the shards that it has read open, for the garbage collector to close.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_plain_webdataset_reads_the_shards(tmp_path):
    write_toy_corpus(str(tmp_path))
    urls = sorted(str(path) for path in tmp_path.glob("*.tar"))
    dataset: Any = WebDataset(urls, shardshuffle=False).decode("l8")
    samples = list(dataset)
    del dataset
    gc.collect()
    assert [sample["__key__"] for sample in samples] == [make_sample(n).key for n in range(6)]
    for number, sample in enumerate(samples):
        expected = make_sample(number)
        assert np.array_equal(sample["image.png"], expected.image)
        [thing] = sample["objects.json"]
        assert thing["category"] == "square"
        rle = RunLength.from_json(thing["rle"])
        assert np.array_equal(rle.mask(), expected.objects[0].mask())
        assert sample["origin.json"]["subject"] == expected.origin.subject


def test_tar_members_have_no_time_and_no_owner(tmp_path):
    write_toy_corpus(str(tmp_path))
    with tarfile.open(tmp_path / "toy-00000.tar") as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(m.mtime, m.uid, m.gid, m.mode) for m in members} == {(0, 0, 0, 0o444)}


def test_a_shard_holds_one_source_and_at_most_so_many_samples(tmp_path):
    samples = [make_sample(n, source="a") for n in range(5)]
    samples += [make_sample(n, source="b", licence="MIT") for n in range(3)]
    manifest = write_corpus(
        samples,
        str(tmp_path),
        split="train",
        sources=[describe_source("a"), describe_source("b", licence="MIT")],
        max_samples_per_shard=2,
    )
    assert [(s.name, s.source, s.num_samples) for s in manifest.shards] == [
        ("a-00000.tar", "a", 2),
        ("a-00001.tar", "a", 2),
        ("a-00002.tar", "a", 1),
        ("b-00000.tar", "b", 2),
        ("b-00001.tar", "b", 1),
    ]
    assert [(s.name, s.num_samples, s.num_subjects) for s in manifest.sources] == [
        ("a", 5, 3),
        ("b", 3, 2),
    ]


def test_a_shard_stays_below_its_size_unless_one_sample_is_larger(tmp_path):
    sizes = [make_sample(n, rows=64, columns=64) for n in range(4)]
    manifest = write_corpus(
        sizes, str(tmp_path), split="train", sources=[describe_source()], max_shard_bytes=3_000
    )
    assert [entry.num_samples for entry in manifest.shards] == [1, 1, 1, 1]
    names = [entry.name.removesuffix(".tar") for entry in manifest.shards]
    assert names == ["toy-00000", "toy-00000-1", "toy-00000-2", "toy-00000-3"]
    assert validate_corpus(str(tmp_path)) == []


def test_unknown_subjects_are_counted_one_an_image(tmp_path):
    unknown = [
        dataclasses.replace(
            sample,
            origin=dataclasses.replace(sample.origin, subject=sample.key, subject_is_known=False),
        )
        for sample in map(make_sample, range(3))
    ]
    samples = [*unknown, make_sample(3), make_sample(4)]
    [source] = write_corpus(
        samples, str(tmp_path), split="train", sources=[describe_source()]
    ).sources
    assert (source.num_subjects, source.num_unknown_subjects) == (5, 3)


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_no_shard_and_no_manifest(tmp_path, error):
    def samples():
        yield make_sample(0)
        yield make_sample(1)
        raise error("the third file is broken")

    with pytest.raises(error, match="third file"):
        write_corpus(samples(), str(tmp_path), split="train", sources=[describe_source()])
    assert list(tmp_path.iterdir()) == []


def test_no_tar_has_its_name_before_it_is_complete(tmp_path):
    seen = []

    def samples():
        for number in range(5):
            yield make_sample(number)
            seen.append(sorted(path.name for path in tmp_path.glob("*.tar")))

    write_corpus(
        samples(),
        str(tmp_path),
        split="train",
        sources=[describe_source()],
        max_samples_per_shard=2,
    )
    first, second = "toy-00000.tar", "toy-00001.tar"
    assert seen == [[], [first], [first], [first, second], [first, second]]
    assert not list(tmp_path.glob("*.partial"))


def test_any_url_holds_the_same_corpus_as_a_disk(tmp_path):
    on_disk = write_toy_corpus(str(tmp_path))
    in_memory = write_toy_corpus("memory://shard-writer/corpus")
    assert in_memory.content_hash == on_disk.content_hash
    names = fsspec.filesystem("memory").ls("/shard-writer/corpus", detail=False)
    assert sorted(Path(name).name for name in names) == sorted(files_below(tmp_path))
    sample = open_corpus("memory://shard-writer/corpus").read_flat(5)
    assert np.array_equal(sample.image, make_sample(5).image)


def test_a_key_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"toy__image-00001: this key was written before"):
        write_corpus(
            [make_sample(1), make_sample(1)],
            str(tmp_path),
            split="train",
            sources=[describe_source()],
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "toy__a.b"}, "Key 'toy__a.b' cannot be stored"),
        ({"image": np.zeros((24, 32), np.uint16)}, "the image is uint16"),
        ({"image": np.zeros((24, 32, 4), np.uint8)}, r"of shape \(24, 32, 4\)"),
        ({"image": np.zeros((24, 32), np.uint8)}, "origin.pixels_sha256 is not that of its image"),
        (
            {"encoded_image": encode_png(np.zeros((24, 32), np.uint8))},
            "its encoded_image decodes to other pixels than its image",
        ),
    ],
)
def test_a_sample_that_breaks_the_contract_is_refused(tmp_path, change, message):
    sample = dataclasses.replace(make_sample(0), **change)
    with pytest.raises(ValueError, match=message):
        write_corpus([sample], str(tmp_path), split="train", sources=[describe_source()])


def test_a_mask_of_another_size_than_the_image_is_refused(tmp_path):
    narrow = make_sample(0, columns=30)
    sample = dataclasses.replace(narrow, objects=make_sample(0, columns=32).objects)
    with pytest.raises(ValueError, match="mask of square is 24 x 32 pixels, the image 24 x 30"):
        write_corpus([sample], str(tmp_path), split="train", sources=[describe_source()])


def test_an_image_that_nothing_would_vouch_for_is_refused(tmp_path):
    sample = make_sample(0)
    enlarged = dataclasses.replace(sample.origin, original_size=(12, 16))
    with_mask = dataclasses.replace(sample, origin=enlarged)
    write_corpus([with_mask], str(tmp_path), split="train", sources=[describe_source()])
    assert open_corpus(str(tmp_path)).read_flat(0).origin == enlarged
    without = dataclasses.replace(with_mask, objects=())
    with pytest.raises(ValueError, match=r"is 24 x 32 pixels, its origin.original_size 12 x 16"):
        write_corpus([without], str(tmp_path), split="train", sources=[describe_source()])


def test_a_source_without_a_description_is_refused(tmp_path):
    with pytest.raises(ValueError, match="its source 'toy' is not described"):
        write_corpus([make_sample(0)], str(tmp_path), split="train", sources=[])


def test_a_category_that_the_source_does_not_annotate_is_refused(tmp_path):
    source = dataclasses.replace(describe_source(), categories=("circle",))
    with pytest.raises(ValueError, match="does not annotate 'square' but circle"):
        write_corpus([make_sample(0)], str(tmp_path), split="train", sources=[source])


def test_the_manifest_is_json_with_its_hash(tmp_path):
    manifest = write_toy_corpus(str(tmp_path))
    fields = json.loads((tmp_path / "manifest.json").read_text())
    assert fields["content_hash"] == manifest.content_hash
    assert fields["format_version"] == 1


def test_the_hashes_of_the_indexes_change_nothing_for_a_program_that_does_not_know_them(tmp_path):
    manifest = write_toy_corpus(str(tmp_path))
    fields = json.loads((tmp_path / "manifest.json").read_text())
    indexes = [(tmp_path / f"toy-0000{number}.index").read_bytes() for number in range(2)]
    assert fields.pop("index_sha256") == [hashlib.sha256(one).hexdigest() for one in indexes]
    known = {"name", "source", "num_samples", "num_objects", "num_bytes", "sha256"}
    assert [shard.keys() for shard in fields["shards"]] == [known] * 2
    content_hash = fields.pop("content_hash")
    content = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    assert content_hash == manifest.content_hash == hashlib.sha256(content).hexdigest()
