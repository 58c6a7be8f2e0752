"""The real images beside the checkout: counts as their README states them."""

import pytest

from shards import BuildConfig, build_corpora, open_corpus, validate_corpus


@pytest.fixture(scope="module")
def built(shared_folder, tmp_path_factory):
    root = shared_folder / "data/us30k-mini"
    if not root.is_dir():
        pytest.skip(f"{root} is not there.")
    output = tmp_path_factory.mktemp("us30k-mini") / "out"
    config = BuildConfig(source="us30k", root=str(root), output=str(output))
    return output, build_corpora(config)


@pytest.mark.slow
def test_the_real_corpus_has_the_counts_of_its_lists(built):
    _, manifests = built
    objects = {split: manifest.num_objects for split, manifest in manifests.items()}
    images = {split: manifest.num_samples for split, manifest in manifests.items()}
    assert (objects["train"], objects["validation"]) == (400, 56)
    assert images == {"train": 272, "validation": 37, "test": 78}
    assert sum(images.values()) == 387


@pytest.mark.slow
def test_the_real_corpus_is_valid_and_free_of_leaks(built):
    output, _ = built
    assert validate_corpus(str(output)) == []


@pytest.mark.slow
def test_real_samples_know_their_subject_where_names_tell_it(built):
    output, manifests = built
    sources = {source.name: source for source in manifests["train"].sources}
    assert sources["fetalhead-hc18"].num_unknown_subjects == 0
    assert sources["nervevessel-usgra"].num_unknown_subjects == 145
    assert sources["nervevessel-usgra"].categories == ("nerve", "vessel")
    sample = open_corpus(str(output / "train")).read_flat(0)
    assert sample.origin.subject == "001"
    assert sample.objects[0].category == "fetal_head"
