import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.planted_copies import COPYINGS, copy_sample
from shards import (
    BuildConfig,
    PhantomConfig,
    UltrasoundObject,
    build_corpora,
    open_corpus,
    validate_corpus,
    write_corpus,
)
from shards.audit import AuditConfig, audit_corpora
from tests.support.corpora import Us30kTree, describe_source, make_sample


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Return training pictures of four simulated subjects."""
    output = tmp_path_factory.mktemp("audit") / "phantom"
    options = PhantomConfig(
        num_subjects=6, frames_per_subject=1, min_size_pixels=160, max_size_pixels=200
    )
    build_corpora(BuildConfig(source="phantom", output=str(output), phantom=options))
    corpus = open_corpus(str(output / "train"))
    return corpus, [corpus.read_flat(index) for index in range(4)]


def write(url, samples, *, split, sources=None):
    write_corpus(samples, str(url), split=split, sources=sources or [describe_source()])
    return str(url)


def audit(tmp_path, *urls, **options):
    return audit_corpora(
        AuditConfig(urls=[str(url) for url in urls], output=str(tmp_path / "audit"), **options)
    )


def pairs_of(found):
    keys = [image.key for image in found.survey.images]
    return {(keys[pair.first], keys[pair.second]) for pair in found.pairs}


def unknown_subject(sample, **fields):
    origin = dataclasses.replace(
        sample.origin, subject=sample.key, subject_is_known=False, **fields
    )
    return dataclasses.replace(sample, origin=origin)


@pytest.mark.parametrize("kind", COPYINGS)
def test_a_planted_copy_is_found_and_nothing_else(tmp_path, phantom, kind):
    corpus, samples = phantom
    copy = copy_sample(samples[2], kind=kind, generator=np.random.default_rng(0))
    sources = corpus.manifest.sources
    train = write(tmp_path / "train", [copy], split="train", sources=sources)
    test = write(tmp_path / "test", samples, split="test", sources=sources)
    found = audit(tmp_path, train, test)
    assert pairs_of(found) == {(copy.key, samples[2].key)}
    (pair,) = found.pairs
    assert not pair.is_exact
    assert pair.is_mirrored == (kind in ("mirrored", "all of these"))
    assert not found.is_blessed
    assert [found.survey.images[number].key for number in found.removed] == [copy.key]


def test_the_page_shows_both_pictures_of_a_leak_and_needs_nothing_else(tmp_path, phantom):
    corpus, samples = phantom
    copy = copy_sample(samples[0], kind="with marks", generator=np.random.default_rng(0))
    sources = corpus.manifest.sources
    train = write(tmp_path / "train", [copy], split="train", sources=sources)
    test = write(tmp_path / "test", samples[:1], split="test", sources=sources)
    audit(tmp_path, train, test)
    page = (tmp_path / "audit/audit.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert "Not blessed: 1 leaks" in page
    assert copy.key in page
    assert "http" not in page.split("</style>")[1]
    fields = json.loads((tmp_path / "audit/audit.json").read_text())
    assert fields["is_blessed"] is False
    assert fields["leaks"][0]["kind"] == "a near duplicate"
    assert fields["corpora"][test] == open_corpus(test).manifest.content_hash


def test_the_same_pixels_in_one_split_are_told_and_are_no_leak(tmp_path):
    samples = [unknown_subject(make_sample(number)) for number in (1, 2, 3)]
    again = dataclasses.replace(samples[0], key="toy__again")
    train = write(tmp_path / "train", [*samples, again], split="train")
    found = audit(tmp_path, train, near_duplicates=False)
    assert pairs_of(found) == {("toy__image-00001", "toy__again")}
    assert found.is_blessed
    assert found.removed == ()
    page = (tmp_path / "audit/audit.html").read_text()
    assert "Duplicates within a split: 1" in page


def test_a_subject_and_a_sequence_in_two_splits_are_leaks(tmp_path):
    video = [unknown_subject(make_sample(number), sequence="video") for number in (10, 11, 20)]
    train = write(tmp_path / "train", [make_sample(2), make_sample(4), *video[:2]], split="train")
    test = write(tmp_path / "test", [make_sample(3), make_sample(6), video[2]], split="test")
    found = audit(tmp_path, train, test, near_duplicates=False)
    assert sorted(leak.what for leak in found.leaks) == [
        "toy sequence video: 2 in train, 1 in test",
        "toy subject subject-1: 1 in train, 1 in test",
    ]
    removed = {found.survey.images[number].key for number in found.removed}
    assert removed == {"toy__image-00002", "toy__image-00010", "toy__image-00011"}


def test_what_is_linked_through_others_leaves_training_and_validation(tmp_path):
    """Train 2 and 3 are one subject, 3 is also a validation picture, which is a test picture."""
    same = unknown_subject(make_sample(3))
    train = write(
        tmp_path / "train", [make_sample(2), make_sample(3), make_sample(8)], split="train"
    )
    copies = [dataclasses.replace(same, key=f"toy__copy-{number}") for number in (1, 2)]
    validation = write(tmp_path / "validation", copies[:1], split="validation")
    test = write(tmp_path / "test", copies[1:], split="test")
    found = audit(tmp_path, train, validation, test, near_duplicates=False, remove="training")
    listed = (tmp_path / "audit/excluded.txt").read_text().splitlines()
    assert listed == [
        "train toy__image-00002",
        "train toy__image-00003",
        "validation toy__copy-1",
    ]
    assert len(found.removed) == 3


def test_a_build_without_the_listed_images_is_blessed(tmp_path):
    tree = Us30kTree(tmp_path / "raw", classes={"Breast-BUSI": 2})
    for name in ("first", "second"):
        tree.add_image("Breast-BUSI", name)
    tree.add_image("Breast-BUSI", "copy", pixels=_pixels_of(tree, "second"))
    tree.write_list("train", ["1/Breast-BUSI/first", "1/Breast-BUSI/second"])
    tree.write_list("test", ["Breast-BUSI/copy"])
    config = tree.config(tmp_path / "out", leaks="report")
    config.us30k.validation_lists = []
    build_corpora(config)
    assert not audit(tmp_path, tmp_path / "out", remove="training").is_blessed
    config.excluded = str(tmp_path / "audit/excluded.txt")
    config.output = str(tmp_path / "clean")
    config.leaks = "refuse"
    manifests = build_corpora(config)
    assert (manifests["train"].num_samples, manifests["test"].num_samples) == (1, 1)
    assert audit(tmp_path, tmp_path / "clean").is_blessed
    assert not (tmp_path / "audit/excluded.txt").exists()
    assert validate_corpus(config.output) == []


def _pixels_of(tree, name):
    return np.asarray(Image.open(tree.root / "Breast-BUSI/img" / f"{name}.png"))


def test_specks_borders_and_odd_areas_are_told(tmp_path):
    samples = [make_sample(number, rows=60, columns=80) for number in range(40)]
    speck = np.zeros((60, 80), bool)
    speck[10:40, 10:40] = speck[50, 60] = True
    samples[3] = with_mask(samples[3], mask=speck)
    frame = np.zeros((60, 80), bool)
    frame[:, :30] = True
    samples[5] = with_mask(samples[5], mask=frame)
    samples[7] = with_mask(samples[7], mask=np.ones((60, 80), bool))
    train = write(tmp_path / "train", samples, split="train")
    found = audit(tmp_path, train, near_duplicates=False)
    told = {(one.image, one.kind) for one in found.outliers}
    assert told == {
        (3, "speck"),
        (3, "implausible area"),
        (5, "lies along the border"),
        (5, "implausible area"),
        (7, "lies along the border"),
        (7, "implausible area"),
    }
    assert found.is_blessed


def test_masks_at_the_border_are_counted_by_source_and_category_without_cards(tmp_path):
    inside = np.zeros((24, 32), bool)
    inside[1:-1, 1:-1] = True
    corner = np.zeros((24, 32), bool)
    corner[-3:, -3:] = True
    samples = [
        with_mask(make_sample(number, source=source), mask=corner if number in touching else inside)
        for source, touching in (("a", (1, 2)), ("b", ()), ("c", (0, 1, 2)))
        for number in range(3)
    ]
    sources = [describe_source(name) for name in ("a", "b", "c")]
    train = write(tmp_path / "train", samples, split="train", sources=sources)
    assert audit(tmp_path, train, near_duplicates=False).outliers == ()
    fields = json.loads((tmp_path / "audit/audit.json").read_text())
    assert fields["masks_at_border"] == [
        {"source": "a", "category": "square", "num_at_border": 2, "num_objects": 3},
        {"source": "c", "category": "square", "num_at_border": 3, "num_objects": 3},
    ]
    page = (tmp_path / "audit/audit.html").read_text()
    assert "Masks that touch the border: 5<" in page
    row = "<td>a</td><td>square</td>" + "".join(f'<td class="number">{n}</td>' for n in (2, 3))
    assert row in page
    assert "Odd annotations: 0<" in page


def with_mask(sample, *, mask):
    thing = UltrasoundObject.from_mask(mask, category="square", organ="toy")
    return dataclasses.replace(sample, objects=(thing,))


def test_a_picture_under_two_licences_is_a_conflict(tmp_path):
    first = unknown_subject(make_sample(1, source="a", licence="CC0-1.0"))
    again = make_sample(1, source="b", licence="CC-BY-NC-4.0")
    sources = [describe_source("a"), describe_source("b", licence="CC-BY-NC-4.0")]
    train = write(tmp_path / "train", [first, again], split="train", sources=sources)
    found = audit(tmp_path, train, near_duplicates=False)
    (conflict,) = found.licence_conflicts
    assert "a (CC0-1.0) and b (CC-BY-NC-4.0) share 1 pictures" in conflict


def test_corpora_are_named_once_and_at_all(tmp_path):
    train = write(tmp_path / "train", [make_sample(1)], split="train")
    with pytest.raises(ValueError, match="train comes twice"):
        audit(tmp_path, train, train)
    with pytest.raises(ValueError, match="urls is empty"):
        audit(tmp_path)


@pytest.mark.slow
def test_more_processes_find_the_same(tmp_path, phantom):
    corpus, samples = phantom
    copy = copy_sample(samples[1], kind="mirrored", generator=np.random.default_rng(0))
    sources = corpus.manifest.sources
    train = write(tmp_path / "train", [copy], split="train", sources=sources)
    test = write(tmp_path / "test", samples, split="test", sources=sources)
    alone = audit(tmp_path, train, test)
    content = (tmp_path / "audit/audit.html").read_bytes()
    assert audit(tmp_path, train, test, num_workers=2).pairs == alone.pairs
    assert (tmp_path / "audit/audit.html").read_bytes() == content
