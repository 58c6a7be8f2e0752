import json
import pickle

import numpy as np
import pytest

from shards import check_licences, open_corpus, read_manifest, write_corpus
from tests.support.corpora import describe_source, make_sample, write_toy_corpus


def test_every_sample_comes_back_as_it_was_written(tmp_path):
    write_toy_corpus(str(tmp_path))
    corpus = open_corpus(str(tmp_path))
    assert corpus.samples_per_shard == (4, 2)
    for number in range(corpus.num_samples):
        sample, expected = corpus.read_flat(number), make_sample(number)
        assert np.array_equal(sample.image, expected.image)
        assert (sample.key, sample.objects, sample.origin) == (
            expected.key,
            expected.objects,
            expected.origin,
        )


def test_flat_places_and_addresses_agree(tmp_path):
    write_toy_corpus(str(tmp_path))
    corpus = open_corpus(str(tmp_path))
    assert [corpus.address(place) for place in range(6)] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 0),
        (1, 1),
    ]
    with pytest.raises(IndexError, match="has 6 samples, no sample 6"):
        corpus.address(6)


def test_a_pickled_corpus_reads_on(tmp_path):
    write_toy_corpus(str(tmp_path))
    corpus = open_corpus(str(tmp_path))
    corpus.read_flat(0)
    copy = pickle.loads(pickle.dumps(corpus))
    assert np.array_equal(copy.read_flat(3).image, make_sample(3).image)


def test_a_sample_takes_one_request_of_its_own_bytes(tmp_path, monkeypatch):
    write_toy_corpus(str(tmp_path))
    corpus = open_corpus(str(tmp_path))
    corpus.read(0, 0)  # fetches the index
    requests = []
    filesystem = corpus.storage.filesystem
    cat_file = filesystem.cat_file

    def record(path, start=None, end=None):
        requests.append((start, end))
        return cat_file(path, start=start, end=end)

    monkeypatch.setattr(filesystem, "cat_file", record)
    corpus.read(0, 2)
    [(start, end)] = requests
    assert 0 < end - start < (tmp_path / "toy-00000.tar").stat().st_size / 3


def test_annotations_come_without_the_image(tmp_path):
    write_toy_corpus(str(tmp_path))
    objects, origin = open_corpus(str(tmp_path)).read_annotations(1, 1)
    assert objects == make_sample(5).objects
    assert origin == make_sample(5).origin


def test_sources_under_other_licences_can_be_left_out(tmp_path):
    samples = [make_sample(n, source="a") for n in range(3)]
    samples += [make_sample(n, source="b", licence="CC-BY-NC-4.0") for n in range(3)]
    write_corpus(
        samples,
        str(tmp_path),
        split="train",
        sources=[describe_source("a"), describe_source("b", licence="CC-BY-NC-4.0")],
    )
    corpus = open_corpus(str(tmp_path))
    free = corpus.select(licences=["CC0-1.0"])
    assert free.num_samples == 3
    assert {free.read_flat(n).origin.licence for n in range(3)} == {"CC0-1.0"}
    assert [shard.source for shard in free.manifest.shards] == ["a"]
    assert free.manifest.content_hash != corpus.manifest.content_hash
    with pytest.raises(ValueError, match=r"no source comes under MIT.*are CC-BY-NC-4.0, CC0-1.0"):
        corpus.select(licences=["MIT"])


@pytest.mark.parametrize(
    ("licence", "message"),
    [
        ("CC0-1.O", r"under CC0-1.O \(did you mean 'CC0-1.0'\?\)"),
        ("cc0-1.0", r"under cc0-1.0 \(did you mean 'CC0-1.0'\?\)"),
        ("MIT", "under MIT; the licences of the training sources are CC0-1.0"),
    ],
)
def test_a_licence_of_no_corpus_is_refused_although_others_are_met(tmp_path, licence, message):
    write_toy_corpus(str(tmp_path))
    corpora = [open_corpus(str(tmp_path))]
    check_licences(["CC0-1.0"], corpora=corpora)
    with pytest.raises(ValueError, match=message):
        check_licences(["CC0-1.0", licence], corpora=corpora)


def damage(path, *, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_when_its_sample_is_read(tmp_path):
    write_toy_corpus(str(tmp_path))
    corpus = open_corpus(str(tmp_path))
    place = int(corpus._index(0)[1]["offset"]) + 600
    damage(tmp_path / "toy-00000.tar", place=place)
    corpus.read(0, 0)
    with pytest.raises(ValueError, match=r"toy-00000.tar: sample 1 \(toy__image-00001\).*damaged"):
        corpus.read(0, 1)


def test_a_truncated_shard_is_found_when_the_corpus_is_opened(tmp_path):
    write_toy_corpus(str(tmp_path))
    shard = tmp_path / "toy-00001.tar"
    shard.write_bytes(shard.read_bytes()[:2048])
    with pytest.raises(ValueError, match=r"toy-00001.tar: has 2048 bytes, manifest.json says"):
        open_corpus(str(tmp_path))


@pytest.mark.parametrize("name", ["toy-00001.tar", "toy-00001.index"])
def test_a_missing_file_is_named(tmp_path, name):
    write_toy_corpus(str(tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: is missing"):
        open_corpus(str(tmp_path)).read(1, 0)


def test_an_index_that_does_not_fit_is_refused(tmp_path):
    write_toy_corpus(str(tmp_path))
    index = tmp_path / "toy-00000.index"
    index.write_bytes(index.read_bytes()[:-48])
    with pytest.raises(ValueError, match=r"toy-00000.index: has 144 bytes; 4 samples need 192"):
        open_corpus(str(tmp_path)).read(0, 0)


def test_an_index_of_the_right_size_that_is_not_the_manifests_is_refused(tmp_path):
    write_toy_corpus(str(tmp_path))
    damage(tmp_path / "toy-00000.index", place=20)
    message = r"toy-00000.index: its sha256 is not the manifest's.*Copy it and its shard again"
    with pytest.raises(ValueError, match=message):
        open_corpus(str(tmp_path)).read(0, 1)


def test_a_manifest_of_an_older_program_is_read_without_the_hashes_of_its_indexes(tmp_path):
    manifest = write_toy_corpus(str(tmp_path))
    path = tmp_path / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["index_sha256"]
    path.write_text(json.dumps(fields))
    corpus = open_corpus(str(tmp_path))
    assert {shard.index_sha256 for shard in corpus.manifest.shards} == {None}
    assert corpus.manifest.content_hash == manifest.content_hash
    assert np.array_equal(corpus.read_flat(4).image, make_sample(4).image)


def test_hashes_of_indexes_that_are_not_one_a_shard_are_refused(tmp_path):
    write_toy_corpus(str(tmp_path))
    edit_manifest(tmp_path, index_sha256=["0" * 64])
    with pytest.raises(ValueError, match=r"\(index_sha256 has 1 entries for 2 shards\). Build the"):
        open_corpus(str(tmp_path))


def test_a_folder_without_a_manifest_is_no_corpus(tmp_path):
    (tmp_path / "image.png").touch()
    with pytest.raises(FileNotFoundError, match=r"no corpus here.*holds image.png.*build_shards"):
        open_corpus(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="is empty or does not exist"):
        open_corpus(str(tmp_path / "nowhere"))


def test_the_folder_above_the_splits_is_told_apart(tmp_path):
    write_toy_corpus(str(tmp_path / "train"))
    with pytest.raises(FileNotFoundError, match=r"folder of corpora; name one of them: .*/train"):
        open_corpus(str(tmp_path))


def edit_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_newer_format_is_refused(tmp_path):
    write_toy_corpus(str(tmp_path))
    edit_manifest(tmp_path, format_version=2)
    with pytest.raises(ValueError, match=r"has format version 2; this program reads versions 1"):
        open_corpus(str(tmp_path))


def test_an_edited_manifest_is_refused(tmp_path):
    write_toy_corpus(str(tmp_path))
    edit_manifest(tmp_path, split="test")
    with pytest.raises(ValueError, match="does not match its own content hash"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", '{"format_version": 1}'])
def test_a_damaged_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest.json: .*Build the corpus again"):
        read_manifest(str(tmp_path))


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match=r"s4://bucket/train: this kind of URL cannot be opened"):
        open_corpus("s4://bucket/train")
