"""What the sources of layouts and simulations must keep; published datasets have their own."""

import pytest

from shards import BuildConfig, PhantomConfig, build_corpora, open_corpus, validate_corpus
from tests.support.corpora import make_us30k

SMALL_INPUTS = {
    "phantom": lambda folder: BuildConfig(
        source="phantom",
        output=str(folder / "out"),
        phantom=PhantomConfig(
            num_subjects=3, frames_per_subject=2, min_size_pixels=64, max_size_pixels=64
        ),
    ),
    "us30k": lambda folder: make_us30k(folder / "raw").config(folder / "out"),
}
"""A small raw dataset for each source that is not published under its own layout."""


@pytest.fixture(params=sorted(SMALL_INPUTS))
def built(request, tmp_path):
    config = SMALL_INPUTS[request.param](tmp_path)
    return config.output, build_corpora(config)


def test_every_source_gives_valid_samples(built):
    output, manifests = built
    assert validate_corpus(output) == []
    assert manifests["train"].num_objects > 0


def test_no_source_puts_a_subject_into_two_splits(built):
    output, manifests = built
    seen = {}
    for split, manifest in manifests.items():
        corpus = open_corpus(f"{output}/{split}")
        for place in range(manifest.num_samples):
            _, origin = corpus.read_annotations(*corpus.address(place))
            seen.setdefault((origin.source, origin.subject), set()).add(split)
    assert all(len(splits) == 1 for splits in seen.values())


def test_every_source_states_its_terms(built):
    _, manifests = built
    for manifest in manifests.values():
        for source in manifest.sources:
            assert source.licence
            assert source.citation
            assert source.categories
