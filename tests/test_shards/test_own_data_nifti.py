from pathlib import Path

import numpy as np
import pytest

from shards import BuildConfig, NiftiConfig
from tests.support.own_data import SIZE, noise, square
from tests.support.source_reading import Read, read_config
from tests.support.source_trees_volumes import save_volume

CLASSES = {"1": "left_atrium", "2": "myocardium"}
SPACING = (0.25, 0.5, 3.0)
"""Along x, y and z."""


def save_case(root: Path, name: str, *, axis: int = 0, labels: np.ndarray | None = None) -> None:
    """Write three frames; the second shows both classes, the first and the third nothing."""
    image = np.stack([noise(number) for number in range(3)])
    if labels is None:
        marked = square(4, value=1) + square(20, value=2)
        labels = np.stack([np.zeros_like(marked), marked, np.zeros_like(marked)])
    image, labels = np.moveaxis(image, 0, axis), np.moveaxis(labels, 0, axis)
    spacing = SPACING if image.ndim == 3 else None
    save_volume(root / f"images/{name}.nii.gz", values=image, spacing=spacing)
    save_volume(root / f"labels/{name}.nii.gz", values=labels)


def read(root: Path, **options) -> Read:
    nifti = NiftiConfig(**{"name": "mine", "categories": CLASSES, **options})
    return read_config(BuildConfig(source="nifti", root=str(root), output="unused", nifti=nifti))


def test_marked_frames_come_with_their_labels_spacing_and_place(tmp_path):
    save_case(tmp_path, "P1/sweep")
    found = read(tmp_path, subject=r"images/(P\d)")
    assert list(found.samples) == ["p1-sweep_0001"]
    sample = found.samples["p1-sweep_0001"]
    masks = {one.category: one.mask() for one in sample.objects}
    assert np.array_equal(masks["left_atrium"], square(4) > 0)
    assert np.array_equal(masks["myocardium"], square(20) > 0)
    assert np.array_equal(sample.image, noise(1))
    assert sample.origin.spacing_millimetres == (0.5, 0.25)
    assert (sample.origin.subject, sample.origin.sequence, sample.origin.frame) == (
        "P1", "P1/sweep", 1,
    )  # fmt: skip
    assert found.report.notes["frames without a mark, left out"] == 2


def test_all_frames_can_be_taken_as_looked_at(tmp_path):
    save_case(tmp_path, "a")
    found = read(tmp_path, frames="all")
    assert [len(one.objects) for one in found.samples.values()] == [0, 2, 0]


@pytest.mark.parametrize(
    ("axis", "axes", "is_turned", "spacing"),
    [
        (1, "yzx", False, (3.0, 0.25)),
        (2, "xzy", False, (3.0, 0.5)),
        (0, "zxy", True, (0.25, 0.5)),
    ],
)
def test_frames_may_lie_along_any_axis(tmp_path, axis, axes, is_turned, spacing):
    save_case(tmp_path, "a", axis=axis)
    sample = read(tmp_path, axes=axes).samples["a_0001"]
    expected = noise(1).T if is_turned else noise(1)
    assert np.array_equal(sample.image, expected)
    assert sample.origin.spacing_millimetres == spacing


def test_a_single_image_is_read_with_the_usual_axes_and_with_two(tmp_path):
    save_volume(tmp_path / "images/a.mha", values=noise(1))
    save_volume(tmp_path / "labels/a.mha", values=square(4, value=1))
    for axes in ("zyx", "yx"):
        sample = read(tmp_path, axes=axes, spacing_millimetres=[0.1, 0.2]).samples["a_0000"]
        assert np.array_equal(sample.image, noise(1))
        assert sample.origin.spacing_millimetres == (0.1, 0.2)


def test_axes_that_the_file_does_not_have_are_told_with_those_it_has(tmp_path):
    save_case(tmp_path, "a")
    problems = read(tmp_path, axes="yx").problems
    assert "labels/a.nii.gz: has 32 along x, 24 along y, 3 along z; nifti.axes=yx" in problems
    with pytest.raises(ValueError, match=r"nifti\.axes=zzy"):
        NiftiConfig(axes="zzy")


def test_more_than_eight_bits_get_one_window_for_all_frames(tmp_path):
    save_case(tmp_path, "a")
    deep = np.stack([noise(number) for number in range(3)]).astype(np.int16) * 100
    save_volume(tmp_path / "images/a.nii.gz", values=deep)
    found = read(tmp_path, frames="all")
    windows = {one.origin.intensity_window for one in found.samples.values()}
    assert len(windows) == 1
    assert None not in windows


def test_labels_of_another_shape_or_class_are_told_with_the_file(tmp_path):
    save_case(tmp_path, "short", labels=np.ones((2, *SIZE), dtype=np.uint8))
    save_case(tmp_path, "strange", labels=np.full((3, *SIZE), 9, dtype=np.uint8))
    problems = read(tmp_path).problems
    assert "labels/short.nii.gz: the labels are 2 x 24 x 32, the image 3 x 24 x 32" in problems
    assert "labels/strange.nii.gz, frame 0: shows the class '9'" in problems
    assert "nifti.categories.9=CATEGORY" in problems


def test_a_damaged_volume_and_a_missing_partner_are_told_together(tmp_path):
    for name in ("a", "b", "c"):
        save_case(tmp_path, name)
    (tmp_path / "labels/a.nii.gz").write_bytes(b"no volume")
    (tmp_path / "labels/b.nii.gz").unlink()
    found = read(tmp_path)
    assert list(found.samples) == ["c_0001"]
    assert "labels/a.nii.gz: cannot be read" in found.problems
    assert "images/b.nii.gz: 'b' lacks a mask" in found.problems


def test_volumes_of_which_nothing_is_marked_are_an_error(tmp_path):
    save_case(tmp_path, "a", labels=np.zeros((3, *SIZE), dtype=np.uint8))
    with pytest.raises(ValueError, match="no image among them"):
        read(tmp_path)
