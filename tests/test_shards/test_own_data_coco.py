import json
from pathlib import Path

import numpy as np
import pytest

from shards import BuildConfig, CocoConfig
from shards.sample import RunLength
from tests.support.own_data import SIZE, noise, save, square
from tests.support.source_reading import Read, area, read_config

ROWS, COLUMNS = SIZE
SQUARE = [[4, 5, 10, 5, 10, 11, 4, 11]]


def write(root: Path, *, name: str = "annotations.json", **changes) -> None:
    """Write two images: one with a polygon and run lengths of two categories, one with nothing."""
    runs = RunLength.from_mask(square(20) > 0).to_json()
    content = {
        "images": [
            {"id": 10, "file_name": "P1/a.png", "height": ROWS, "width": COLUMNS},
            {"id": 11, "file_name": "P2/a.png", "height": ROWS, "width": COLUMNS},
        ],
        "categories": [{"id": 3, "name": "Thyroid Nodule"}, {"id": 5, "name": "vessel"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 3, "segmentation": SQUARE},
            {"id": 2, "image_id": 10, "category_id": 5, "segmentation": runs, "iscrowd": 1},
            {"id": 3, "image_id": 11, "category_id": 5, "segmentation": runs},
        ],
    }
    for number in (1, 2):
        save(root / f"images/P{number}/a.png", noise(number))
    (root / name).write_text(json.dumps({**content, **changes}))


def read(root: Path, **options) -> Read:
    categories = {"thyroid nodule": "thyroid_nodule", "vessel": "vessel"}
    coco = CocoConfig(**{"name": "mine", "categories": categories, **options})
    return read_config(BuildConfig(source="coco", root=str(root), output="unused", coco=coco))


def test_polygons_and_run_lengths_become_one_object_each(tmp_path):
    write(tmp_path)
    found = read(tmp_path, subject=r"(P\d)/")
    assert found.problems == ""
    sample = found.samples["images-p1-a"]
    nodule, vessel = (one.mask() for one in sample.objects)
    assert np.array_equal(vessel, square(20) > 0)
    assert np.array_equal(nodule, square(4) > 0)
    assert [one.category for one in sample.objects] == ["thyroid_nodule", "vessel"]
    assert sample.origin.subject == "P1"
    assert found.report.notes["crowd annotations, taken as objects"] == 1


def test_crowds_can_be_left_out_and_are_counted(tmp_path):
    write(tmp_path)
    found = read(tmp_path, crowd="drop")
    assert area(found.samples["images-p1-a"]) == 36
    assert found.report.notes["crowd annotations, left out"] == 1


def test_an_image_without_annotation_is_told_kept_or_left_out(tmp_path):
    annotation = {"id": 1, "image_id": 10, "category_id": 3, "segmentation": SQUARE}
    write(tmp_path, annotations=[annotation])
    refused = read(tmp_path)
    assert refused.report.problems_by_kind() == {"image without annotation": 1}
    assert "P2/a.png: has no annotation" in refused.problems
    assert read(tmp_path, without_mask="keep").samples["images-p2-a"].objects == ()
    dropped = read(tmp_path, without_mask="drop")
    assert list(dropped.samples) == ["images-p1-a"]
    assert dropped.report.notes["images that lack an annotation and were left out"] == 1


def test_a_class_that_is_not_declared_is_told_once_with_what_it_may_be(tmp_path):
    write(tmp_path, categories=[{"id": 3, "name": "Thyroid Nodul"}, {"id": 5, "name": "vessel"}])
    found = read(tmp_path)
    assert found.report.problems_by_kind() == {"class that is not declared": 1}
    assert "annotation 1: shows the class 'Thyroid Nodul'" in found.problems
    assert "It may be thyroid_nodule." in found.problems
    assert "coco.categories.thyroid-nodul=CATEGORY" in found.problems


def test_one_file_name_beside_each_annotation_file_means_the_near_picture(tmp_path):
    for number, part in enumerate(("train", "test")):
        save(tmp_path / part / "a.png", noise(number))
        image = {"id": 1, "file_name": "a.png"}
        annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": SQUARE}
        content = {
            "images": [image],
            "annotations": [annotation],
            "categories": [{"id": 1, "name": "vessel"}],
        }
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(content))
    found = read(tmp_path, split="^(train|test)/")
    splits = {key: one.origin.official_split for key, one in found.samples.items()}
    assert splits == {"train-a": "train", "test-a": "test"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"images": [{"id": 1, "file_name": "gone.png"}], "annotations": []}, "names gone.png"),
        ({"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}, "could be meant"),
        ({"annotations": {}}, "has no list `annotations`"),
        ({"categories": [{"id": 3, "name": "vessel"}]}, "names image 10 and category 5"),
        ({"images": [{"id": 1}], "annotations": []}, "lacks a field ('file_name')"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, "an `id` comes twice in `images`"),
    ],
)
def test_what_is_wrong_in_an_annotation_file_is_told_with_the_file(tmp_path, changes, expected):
    write(tmp_path, **changes)
    problems = read(tmp_path).problems
    assert expected in problems
    assert "annotations.json" in problems


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        ([], "`segmentation` is '[]'"),
        ([[1, 2, 3, 4]], "of three corners or more in the picture"),
        ({"size": [ROWS, COLUMNS], "counts": [5, 5]}, "run lengths do not add up"),
        ({"size": [COLUMNS, ROWS], "counts": [ROWS * COLUMNS]}, "the mask is 32 x 24 pixels"),
    ],
)
def test_an_annotation_that_gives_no_mask_is_told_with_its_number(tmp_path, segmentation, expected):
    annotation = {"id": 77, "image_id": 10, "category_id": 5, "segmentation": segmentation}
    write(tmp_path, annotations=[annotation])
    problems = read(tmp_path, without_mask="drop").problems
    assert expected in problems
    assert "annotations.json, annotation 77" in problems


def test_an_annotation_that_covers_no_pixel_is_counted(tmp_path):
    speck = [[4.1, 5.1, 4.2, 5.1, 4.2, 5.2]]
    annotation = {"id": 1, "image_id": 10, "category_id": 5, "segmentation": speck}
    write(tmp_path, annotations=[annotation])
    found = read(tmp_path, without_mask="drop")
    assert found.samples["images-p1-a"].objects == ()
    assert found.report.notes["annotations that cover no pixel"] == 1


def test_a_picture_that_was_resized_after_annotation_is_refused(tmp_path):
    write(tmp_path)
    save(tmp_path / "images/P1/a.png", noise(1, size=(48, 64)))
    assert "is 48 x 64 pixels, the annotation file says 24 x 32" in read(tmp_path).problems


def test_no_annotation_file_is_an_error_that_names_the_pattern(tmp_path):
    save(tmp_path / "a.png", noise(1))
    with pytest.raises(ValueError, match=r"source=coco expects COCO files \*\*/\*\.json"):
        read(tmp_path)
