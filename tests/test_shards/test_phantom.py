import numpy as np
import pytest

from shards import PhantomConfig, open_corpus
from shards.build_report import BuildReport
from shards.config import BuildConfig
from shards.sources.phantom import plan_phantom
from tests.support.corpora import build_phantom


def read_all(**options):
    phantom = PhantomConfig(min_size_pixels=64, max_size_pixels=96, **options)
    config = BuildConfig(source="phantom", output="unused", phantom=phantom)
    return [planned.read() for planned in plan_phantom(config, BuildReport()).samples]


@pytest.fixture(scope="module")
def samples():
    return read_all(num_subjects=12, frames_per_subject=3)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    build_phantom(tmp_path / "a")
    build_phantom(tmp_path / "b")
    build_phantom(tmp_path / "c", seed=1)
    a, b, c = (open_corpus(str(tmp_path / name / "train")).manifest for name in "abc")
    assert a.content_hash == b.content_hash != c.content_hash


def test_there_are_three_categories_several_objects_and_empty_images(samples):
    categories = {thing.category for sample in samples for thing in sample.objects}
    assert categories == {"phantom_bone", "phantom_cyst", "phantom_nodule"}
    counts = {len(sample.objects) for sample in samples}
    assert 0 in counts
    assert max(counts) >= 2


def test_frames_of_a_subject_are_a_series_of_one_size_that_moves(samples):
    first, second, _ = samples[:3]
    assert first.origin.subject == second.origin.subject
    assert first.size == second.size
    assert [sample.origin.frame for sample in samples[:3]] == [0, 1, 2]
    assert not np.array_equal(first.image, second.image)


def test_categories_differ_in_brightness_as_they_should(samples):
    means = {}
    for sample in samples:
        for thing in sample.objects:
            mask = thing.mask()
            means.setdefault(thing.category, []).append(sample.image[mask].mean())
    cyst, nodule, bone = (np.mean(means[f"phantom_{name}"]) for name in ("cyst", "nodule", "bone"))
    assert cyst + 15 < nodule
    assert nodule + 30 < bone


def test_a_bone_casts_a_shadow(samples):
    ratios = []
    for sample in samples:
        for thing in sample.objects:
            if thing.category != "phantom_bone":
                continue
            rows, columns = np.nonzero(thing.mask())
            column = int(np.median(columns))
            bottom = rows[columns == column].max()
            behind = sample.image[bottom + 4 : bottom + 14, column]
            before = sample.image[max(rows.min() - 14, 0) : rows.min() - 3, column]
            ratios.append(behind.mean() / before.mean())
    assert ratios
    assert np.median(ratios) < 0.5


@pytest.mark.parametrize("num_subjects", [3, 5, 17])
def test_every_split_has_a_subject_and_no_subject_two_splits(num_subjects):
    config = BuildConfig(
        source="phantom", output="unused", phantom=PhantomConfig(num_subjects=num_subjects)
    )
    planned = plan_phantom(config, BuildReport()).samples
    splits = {}
    for sample in planned:
        splits.setdefault(sample.subject, set()).add(sample.split)
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}
