"""What a source of a published dataset must keep, as checks over a tiny tree in its layout."""

import dataclasses
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.reading import open_tree
from shards.sample import UltrasoundSample, make_key
from shards.sources import PublishedSource, SourcePlan
from tests.support.source_trees_pictures import SIZE, Expected, Writer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    """A tiny dataset for a source, and what may be spoilt in it."""

    source: PublishedSource
    write: Writer
    partner: str
    """A file without which another one is alone."""

    lone_note: str | None = None
    """What is counted then; None where it is a problem."""

    other_size: tuple[int, int] | None = (23, 32)
    """Of the first mask, which is refused; None where masks are drawn from points."""

    is_resized: bool = False
    """Masks may be of another size."""


def plan_tree(source: PublishedSource, *, root: Path) -> tuple[SourcePlan, BuildReport]:
    """Return the plan of a tree, and the report with all problems and notes."""
    report = BuildReport()
    return source(BuildConfig(source=source.card.name, root=str(root), output="x"), report), report


def read_tree(source: PublishedSource, *, root: Path) -> dict[str, UltrasoundSample]:
    """Return all samples by key; a problem fails the test."""
    plan, report = plan_tree(source, root=root)
    assert report.num_problems == 0, report.describe_problems()
    return {planned.key: planned.read() for planned in plan.samples}


def check_samples(tree: Tree, *, root: Path) -> None:
    """Every sample is there, and each has its masks, its subject and its split."""
    expected = tree.write(root, SIZE)
    samples = read_tree(tree.source, root=root)
    name = tree.source.card.name
    assert samples.keys() == {make_key(name, name=one) for one in expected}
    for one, content in expected.items():
        _check_sample(samples[make_key(name, name=one)], expected=content)


def check_order_of_files(tree: Tree, *, root: Path) -> None:
    """The order in which files are listed changes nothing."""
    tree.write(root, SIZE)
    files = open_tree(root, report=BuildReport())
    turned = dataclasses.replace(files, files=files.files[::-1])
    found = [
        {
            one.name: (one.subject, one.split, one.files[0].path, {file.path for file in one.files})
            for one in tree.source.find(some, BuildReport())
        }
        for some in (files, turned)
    ]
    assert found[0] == found[1]


def check_archive(tree: Tree, *, root: Path) -> None:
    """A zip of the tree gives the samples that the tree gives."""
    expected = tree.write(root / "raw", SIZE)
    archive = shutil.make_archive(str(root / "download"), "zip", root / "raw")
    samples = read_tree(tree.source, root=Path(archive))
    name = tree.source.card.name
    assert samples.keys() == {make_key(name, name=one) for one in expected}


def check_missing_partner(tree: Tree, *, root: Path) -> None:
    """A file that is alone is a problem that names it, or is counted where a source has such."""
    expected = tree.write(root, SIZE)
    (partner,) = root.glob(tree.partner)
    partner.unlink()
    plan, report = plan_tree(tree.source, root=root)
    assert len(plan.samples) < len(expected)
    if tree.lone_note is not None:
        assert report.notes[tree.lone_note] >= 1
        assert report.num_problems == 0
    else:
        assert report.problems_by_kind().keys() == {"file missing"}
        problems = report.describe_problems()
        assert any(str(file) in problems for file in root.rglob("*.*"))


def check_other_size(tree: Tree, *, root: Path) -> None:
    """A mask of another size is refused with both sizes, or resized and counted."""
    assert tree.other_size is not None
    expected = tree.write(root, (48, 64) if tree.is_resized else tree.other_size)
    plan, _ = plan_tree(tree.source, root=root)
    first = make_key(tree.source.card.name, name=next(iter(expected)))
    (planned,) = [one for one in plan.samples if one.key == first]
    if tree.is_resized:
        sample = planned.read()
        _check_sample(sample, expected=next(iter(expected.values())))
        assert sample.notes == ("masks brought to the size of their image",)
    else:
        with pytest.raises(InputError, match=r"(23.*32)|(32.*23)") as caught:
            planned.read()
        assert caught.value.kind == "mask of another size"


def check_empty_folder(tree: Tree, *, root: Path) -> None:
    """Nothing found is an error that tells the layout, and what of it nobody has verified."""
    (root / "notes.txt").write_text("nothing here")
    card = tree.source.card
    with pytest.raises(ValueError, match="no image") as caught:
        plan_tree(tree.source, root=root)
    assert card.layout in str(caught.value)
    assert all(doubt in str(caught.value) for doubt in card.unverified)


def check_pickling(tree: Tree, *, root: Path) -> None:
    """What was planned can be sent to another process and read there."""
    expected = tree.write(root, SIZE)
    plan, _ = plan_tree(tree.source, root=root)
    again = pickle.loads(pickle.dumps(plan.samples))
    assert [one.key for one in again] == [one.key for one in plan.samples]
    assert len(again) == len(expected)
    assert again[0].read().size == SIZE


def _check_sample(sample: UltrasoundSample, *, expected: Expected) -> None:
    unions: dict[str, np.ndarray] = {}
    for thing in sample.objects:
        unions[thing.category] = unions.get(thing.category, False) | thing.mask()
    assert unions.keys() == expected.masks.keys()
    for category, mask in expected.masks.items():
        assert np.array_equal(unions[category], mask), category
    assert sample.origin.subject_is_known == (expected.subject is not None)
    assert sample.origin.subject == (expected.subject or sample.key)
    assert sample.origin.official_split == expected.split
