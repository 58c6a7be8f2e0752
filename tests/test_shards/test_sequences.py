"""Which images are frames of one sequence is known without reading a sample."""

import dataclasses

import pytest

from shards import make_key, open_corpus, read_sequences, validate_corpus, write_corpus
from tests.support.corpora import build_phantom, describe_source, make_sample

# Of each image: its subject, whether that is known, and its sequence.
FRAMES = [
    ("one", True, "left"),
    ("one", True, "left"),
    ("one", True, "right"),
    ("two", True, "left"),
    ("image-4", False, "left"),
    ("image-5", False, "left"),
    ("one", True, None),
    ("one", True, None),
]
EXPECTED = [0, 0, 2, 3, 4, 4, 6, 7]
"""For each image, the first one of its sequence."""


def write(url, *, source="toy", frames=FRAMES):
    samples = []
    for number, (subject, is_known, sequence) in enumerate(frames):
        sample = make_sample(number, source=source)
        origin = dataclasses.replace(
            sample.origin, subject=subject, subject_is_known=is_known, sequence=sequence
        )
        key = make_key(source, name=f"image-{number}")
        samples.append(dataclasses.replace(sample, key=key, origin=origin))
    sources = [describe_source(source)]
    write_corpus(samples, str(url), split="train", sources=sources, max_samples_per_shard=3)
    return open_corpus(str(url))


def test_frames_of_a_subjects_sequence_share_a_number_and_other_images_do_not(tmp_path):
    numbers = read_sequences(write(tmp_path)).tolist()
    assert [numbers.index(number) for number in numbers] == EXPECTED


def test_the_numbers_are_in_the_order_of_the_shards(tmp_path):
    corpus = open_corpus(f"{build_phantom(tmp_path, num_subjects=6)}/train")
    numbers = read_sequences(corpus)
    assert len(numbers) == corpus.num_samples
    named = [corpus.read_flat(place).origin.sequence for place in range(corpus.num_samples)]
    pairs = set(zip(named, numbers.tolist(), strict=True))
    assert len(pairs) == len(set(named)) > 1


def test_an_older_corpus_is_read_and_found_whole_but_knows_no_sequences(tmp_path):
    corpus = write(tmp_path)
    (tmp_path / "toy.sequences").unlink()
    assert open_corpus(str(tmp_path)).num_samples == len(FRAMES)
    assert validate_corpus(str(tmp_path)) == []
    with pytest.raises(FileNotFoundError, match=r"toy\.sequences: is missing.* build the corpus"):
        read_sequences(corpus)


def test_sequences_that_are_not_those_of_the_images_are_a_finding(tmp_path):
    write(tmp_path)
    path = tmp_path / "toy.sequences"
    path.write_bytes(path.read_bytes()[::-1])
    (finding,) = validate_corpus(str(tmp_path))
    assert finding.where.endswith("toy.sequences")
