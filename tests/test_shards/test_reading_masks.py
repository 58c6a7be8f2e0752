"""Masks from pictures, polygons, run lengths and pickles."""

import io
import json
import pickle
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image, ImageDraw

from shards.build_report import BuildReport
from shards.config import BuildConfig
from shards.reading import (
    RawFile,
    coco_mask_of,
    colour_masks,
    fill_outline,
    fill_polygon,
    grey_values,
    index_masks,
    labelme_polygons,
    load_array_pickle,
    pair_files,
    plain_polygon,
    resize_mask,
    threshold_mask,
    union_masks,
    with_one_mask,
)
from shards.sample import RunLength
from shards.sources import SOURCES
from tests.support.source_trees_pictures import block


def _raw(path: Path, *, content: bytes = b"") -> RawFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    relative = PurePosixPath(path.parent.name) / path.name
    return RawFile(path=relative, location=path, stamp=str(len(content)))


def _picture(path: Path, *, values: np.ndarray) -> RawFile:
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(path.suffix, "PNG")
    Image.fromarray(values).save(buffer, format=kind)
    return _raw(path, content=buffer.getvalue())


def test_a_noisy_jpeg_mask_is_the_mask_that_was_drawn(tmp_path):
    mask = np.zeros((48, 64), dtype=bool)
    mask[9:39, 17:53] = True
    file = _picture(tmp_path / "1.jpg", values=mask.astype(np.uint8) * 255)
    assert set(np.unique(grey_values(file))) - {0, 255}
    assert np.array_equal(threshold_mask(file), mask)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_a_mask_counts_alike_in_every_mode(tmp_path, mode):
    mask = block(1)
    path = tmp_path / "1.png"
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, format="PNG")
    assert np.array_equal(threshold_mask(_raw(path, content=buffer.getvalue())), mask)


def test_a_mask_of_zeros_and_ones_is_not_empty(tmp_path):
    file = _picture(tmp_path / "1.png", values=block(1).astype(np.uint8))
    assert np.array_equal(threshold_mask(file, at_least=150), block(1))


def test_an_index_mask_with_a_value_that_is_no_class_is_refused(tmp_path):
    file = _picture(tmp_path / "1.png", values=block(1).astype(np.uint8) * 7)
    assert set(index_masks(file, classes=(1, 7))) == {7}
    with pytest.raises(ValueError, match=r"values \[7\]; expected 0 and \[1, 2\]"):
        index_masks(file, classes=(1, 2))


def test_red_is_red_and_what_is_near_no_colour_is_counted(tmp_path):
    pixels = np.zeros((24, 32, 3), dtype=np.uint8)
    pixels[block(1)] = (240, 10, 5)
    pixels[20, 20] = (128, 128, 0)
    pixels[21, 21] = (10, 0, 10)
    colours = {"vessel": (255, 0, 0), "pancreas": (0, 0, 255), "kidney": (255, 255, 0)}
    masks, num_strange = colour_masks(_picture(tmp_path / "1.png", values=pixels), colours=colours)
    assert list(masks) == ["vessel"]
    assert np.array_equal(masks["vessel"], block(1))
    assert num_strange == 1


def test_a_mask_is_resized_without_new_values():
    large = block(1).repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(resize_mask(large, size=(24, 32)), block(1))
    assert np.array_equal(union_masks([block(1), block(5)]), block(1) | block(5))


def _ellipse(box: tuple[int, int, int, int], *, is_filled: bool) -> np.ndarray:
    canvas = Image.new("L", (64, 48))
    ImageDraw.Draw(canvas).ellipse(box, outline=255, fill=255 if is_filled else None)
    return np.asarray(canvas) > 0


@pytest.mark.parametrize(
    "box", [(10, 8, 50, 40), (-8, 8, 40, 40), (10, -6, 50, 30), (30, 20, 70, 60)]
)
def test_an_outline_is_filled_also_where_the_border_cuts_it(box):
    filled = fill_outline(_ellipse(box, is_filled=False), where="x")
    assert np.array_equal(filled, _ellipse(box, is_filled=True))


def test_an_outline_of_which_no_side_is_the_inside_is_refused():
    outline = _ellipse((-9, -9, 30, 60), is_filled=False)
    with pytest.raises(ValueError, match=r"x\.png: the outline is not closed"):
        fill_outline(outline, where="x.png")


def test_an_outline_with_a_gap_is_refused_and_an_empty_one_is_empty():
    outline = _ellipse((10, 8, 50, 40), is_filled=False)
    outline[20:26, 40:] = False
    with pytest.raises(ValueError, match=r"x\.png: the outline is not closed"):
        fill_outline(outline, where="x.png")
    assert not fill_outline(np.zeros((8, 8), dtype=bool), where="x").any()


def test_a_polygon_holds_its_border_and_is_cut_off_at_the_picture():
    corners = [(5.2, 2.8), (15.9, 3.1), (16.0, 9.0), (5.0, 9.0)]
    expected = np.zeros((24, 32), dtype=bool)
    expected[3:10, 5:17] = True
    assert np.array_equal(fill_polygon(corners, size=(24, 32), where="x"), expected)
    beyond = [(-50.0, -50.0), (100.0, -50.0), (100.0, 100.0), (-50.0, 100.0)]
    assert fill_polygon(beyond, size=(24, 32), where="x").all()


@pytest.mark.parametrize(
    "corners", [[(1.0, 1.0), (5.0, 5.0)], [(1.0, 1.0), (2.0, float("nan")), (3.0, 1.0)]]
)
def test_a_polygon_that_encloses_nothing_is_refused(corners):
    with pytest.raises(ValueError, match="encloses nothing"):
        fill_polygon(corners, size=(8, 8), where="x.json")


@pytest.mark.parametrize("content", [b"{}", b"[1, 2]", b"not json", b'[["a", "b"]]'])
def test_a_file_that_is_no_list_of_points_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"1\.json"):
        plain_polygon(_raw(tmp_path / "1.json", content=content))


def test_a_labelme_file_that_is_not_utf_8_gives_its_shapes(tmp_path):
    shape = {"label": "shenjing", "points": [[1, 2], [3, 4.5], [5, 6]]}
    content = json.dumps({"shapes": [shape], "imagePath": "N"}).replace("N", "\xe9")
    file = _raw(tmp_path / "1.json", content=content.encode("latin-1"))
    assert list(labelme_polygons(file)) == [("shenjing", [(1.0, 2.0), (3.0, 4.5), (5.0, 6.0)])]


def _flat_runs(mask: np.ndarray) -> list[int]:
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


@pytest.mark.parametrize(
    "mask", [block(1), block(2) | block(9), np.ones((24, 32), bool), np.zeros((24, 32), bool)]
)
def test_run_lengths_as_numbers_and_as_text_give_the_mask(mask):
    text = RunLength.from_mask(mask).counts
    for counts in (_flat_runs(mask), text, text.encode()):
        segmentation = {"size": [24, 32], "counts": counts}
        assert np.array_equal(coco_mask_of(segmentation, size=(24, 32), where="x"), mask)


def test_coco_polygons_cover_the_pixels_between_their_corners():
    square = [4.0, 2.0, 16.0, 2.0, 16.0, 9.0, 4.0, 9.0]
    cut_off = [28.0, 20.0, 90.0, 20.0, 90.0, 70.0, 28.0, 70.0]
    expected = np.zeros((24, 32), dtype=bool)
    expected[2:9, 4:16] = expected[20:, 28:] = True
    found = coco_mask_of([square, cut_off], size=(24, 32), where="x")
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        [[1.0, 2.0, 3.0]],
        [[1.0, 2.0, 3.0, 4.0]],
        [[1.0, 2.0, 3.0, 4.0, "5", None]],
        [[1.0, 2.0, 3.0, 4.0, 5.0, float("nan")]],
        [[1.0, 2.0, 3.0, 4.0, 5.0, 1e9]],
        {"size": [24, 32]},
        {"size": [32, 24], "counts": [768]},
        {"size": [24, 32], "counts": [5, -5, 768]},
        {"size": [24, 32], "counts": [5, 5]},
        {"size": [24, 32], "counts": "zzzzzz"},
        {"size": [24, 32], "counts": "S"},
        {"size": [24, 32], "counts": "11"},
    ],
)
def test_a_broken_annotation_is_named(segmentation):
    with pytest.raises(ValueError, match=r"a\.json, annotation 3"):
        coco_mask_of(segmentation, size=(24, 32), where="a.json, annotation 3")


def _saved(content: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(content, dtype=object))
    return buffer.getvalue()


class _Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil"),))


def test_a_pickled_dict_of_arrays_is_read(tmp_path):
    content = {"image": np.eye(3), "structures": {"liver": block(1), "name": np.array(["a"])}}
    read = load_array_pickle(_raw(tmp_path / "1.npy", content=_saved(content)))
    assert np.array_equal(read["image"], np.eye(3))
    assert np.array_equal(read["structures"]["liver"], block(1))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_asks_for_anything_but_arrays_is_refused(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    header = _saved({})[:128]
    content = header + pickle.dumps({"structures": _Evil()}, protocol=protocol)
    with pytest.raises(ValueError, match="which is no array"):
        load_array_pickle(_raw(tmp_path / "1.npy", content=content))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["numpy.load", "numpy.lib._npyio_impl.load", "builtins.eval"])
def test_a_pickle_may_call_no_function_of_numpy_either(tmp_path, name):
    module, _, function = name.rpartition(".")
    content = _saved({})[:128] + f"c{module}\n{function}\n(tR.".encode()
    with pytest.raises(ValueError, match=r"1\.npy: is refused"):
        load_array_pickle(_raw(tmp_path / "1.npy", content=content))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", _saved({"a": np.eye(2)})[:-9]])
def test_a_truncated_array_file_is_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"1\.npy: is refused"):
        load_array_pickle(_raw(tmp_path / "1.npy", content=content))


def test_two_images_of_one_name_are_refused_and_neither_is_lost(tmp_path):
    report = BuildReport()
    files = [_raw(tmp_path / name) for name in ("a/1.png", "a/1.jpg", "b/1.png")]
    masks = [_raw(tmp_path / name) for name in ("m/a.png", "n/a.png", "m/b.png")]
    pairs = pair_files(
        files,
        masks=masks,
        image_key=lambda file: file.folder,
        mask_key=lambda file: file.stem,
        report=report,
    )
    assert [(pair.key, len(pair.masks)) for pair in pairs] == [("a", 2), ("b", 1)]
    assert "1.png and" in report.describe_problems()
    assert [pair.key for pair in with_one_mask(pairs, report=report)] == ["b"]
    assert report.problems_by_kind() == {"two files with one name": 2}


@pytest.mark.slow
def test_the_liver_lesions_of_the_real_copy_are_counted(shared_folder):
    root = shared_folder / "data/raw/aul"
    report = BuildReport()
    plan = SOURCES["aul_lesions"](
        BuildConfig(source="aul_lesions", root=str(root), output="x"), report
    )
    assert report.num_problems == 0
    samples = [planned.read() for planned in plan.samples]
    categories = [thing.category for sample in samples for thing in sample.objects]
    assert len(samples) == 8
    assert categories.count("liver_lesion_benign") == 4
    assert categories.count("liver_lesion_malignant") == 4
