import dataclasses
import json

import pytest

from shards import open_corpus, validate_corpus, write_corpus
from shards.validation import corpus_urls
from tests.support.corpora import build_phantom, describe_source, make_sample, write_toy_corpus


def what_is_wrong(folder):
    return "\n".join(f"{finding.where}: {finding.what}" for finding in validate_corpus(str(folder)))


def test_a_sound_corpus_has_no_findings(tmp_path):
    write_toy_corpus(str(tmp_path))
    assert validate_corpus(str(tmp_path)) == []


def test_a_build_is_checked_as_a_whole(tmp_path):
    build_phantom(tmp_path / "out")
    assert validate_corpus(str(tmp_path / "out")) == []
    names = [url.rsplit("/", 1)[1] for url in corpus_urls(str(tmp_path / "out"))]
    assert names == ["train", "validation", "test"]


def test_a_flipped_bit_in_a_picture_is_named_three_times(tmp_path):
    write_toy_corpus(str(tmp_path))
    record = open_corpus(str(tmp_path))._index(0)[2]
    path = tmp_path / "toy-00000.tar"
    content = bytearray(path.read_bytes())
    content[int(record["offset"]) + 512 + 60] ^= 255
    path.write_bytes(content)
    report = what_is_wrong(tmp_path)
    assert "toy-00000.tar: its sha256 is not the manifest's" in report
    assert "sample 2 does not have the digest of its index" in report
    assert "toy__image-00002: cannot be decoded as a picture" in report


@pytest.mark.parametrize(
    "name", ["toy-00001.tar", "toy-00001.index", "toy.pixels", "manifest.json"]
)
def test_a_missing_file_is_a_finding(tmp_path, name):
    write_toy_corpus(str(tmp_path))
    (tmp_path / name).unlink()
    assert name in what_is_wrong(tmp_path)


def test_a_truncated_shard_is_a_finding(tmp_path):
    write_toy_corpus(str(tmp_path))
    path = tmp_path / "toy-00000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    report = what_is_wrong(tmp_path)
    assert "has 3000 bytes, the manifest says" in report
    assert "sample 3 does not have the digest" in report


def test_a_shard_that_no_manifest_lists_is_a_finding(tmp_path):
    write_toy_corpus(str(tmp_path))
    (tmp_path / "toy-00009.tar").write_bytes(bytes(1024))
    assert "toy-00009.tar: is not in the manifest" in what_is_wrong(tmp_path)


def test_pixels_that_are_not_those_of_the_origin_are_a_finding(tmp_path):
    write_toy_corpus(str(tmp_path))
    path = tmp_path / "toy-00000.tar"
    digest = make_sample(0).origin.pixels_sha256.encode()
    path.write_bytes(path.read_bytes().replace(digest, b"0" * 64))
    assert "the decoded pixels do not have the sha256 of the origin" in what_is_wrong(tmp_path)


def test_miscounted_components_are_a_finding(tmp_path):
    sample = make_sample(0)
    [thing] = sample.objects
    sample = dataclasses.replace(sample, objects=(dataclasses.replace(thing, num_components=2),))
    write_corpus([sample], str(tmp_path), split="train", sources=[describe_source()])
    assert "the components of square are miscounted" in what_is_wrong(tmp_path)


def test_a_corpus_of_another_build_is_a_finding(tmp_path):
    build_phantom(tmp_path / "out")
    build_phantom(tmp_path / "other", seed=1)
    train = tmp_path / "out/train"
    train.rename(tmp_path / "old")
    (tmp_path / "other/train").rename(train)
    assert "corpus.json says" in what_is_wrong(tmp_path / "out")


def test_two_splits_that_changed_places_are_a_finding(tmp_path):
    out = build_phantom(tmp_path / "out")
    (out / "train").rename(out / "aside")
    (out / "test").rename(out / "train")
    (out / "aside").rename(out / "test")
    assert what_is_wrong(out).count("corpus.json says") == 2


def test_a_subject_in_two_splits_is_a_finding(tmp_path):
    hashes = {}
    for split in ("train", "test"):
        manifest = write_corpus(
            [make_sample(0)], str(tmp_path / split), split=split, sources=[describe_source()]
        )
        hashes[split] = manifest.content_hash
    fields = {"format_version": 1, "splits": hashes, "num_leaked_subjects": 0}
    (tmp_path / "corpus.json").write_text(json.dumps(fields))
    key = make_sample(0).key
    assert what_is_wrong(tmp_path).splitlines() == [
        "toy: subject subject-0 is in 2 splits",
        f"{tmp_path}/test: {key}: is the very picture of {tmp_path}/train: {key}",
    ]


def test_digests_that_are_not_those_of_the_images_are_a_finding(tmp_path):
    write_toy_corpus(str(tmp_path))
    path = tmp_path / "toy.pixels"
    path.write_bytes(path.read_bytes()[::-1])
    assert "toy.pixels: does not hold the digests of the images" in what_is_wrong(tmp_path)
