import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards import BuildConfig, FolderConfig, build_corpora, open_corpus
from tests.support.own_data import noise, save, save_pairs, square
from tests.support.source_reading import Read, area, read_config

NODULE = {"foreground": "thyroid_nodule"}


def read(root: Path, **options) -> Read:
    folder = FolderConfig(**{"name": "mine", "categories": NODULE, **options})
    return read_config(BuildConfig(source="folder", root=str(root), output="unused", folder=folder))


def test_pictures_and_masks_are_paired_over_folders_and_dots(tmp_path):
    save_pairs(tmp_path, "a/1.2.840", "a/1.2.841", "b/1.2.840")
    found = read(tmp_path, subject=r"images/(\w)/", spacing_millimetres=[0.1, 0.2])
    assert found.problems == ""
    assert sorted(found.samples) == ["a-1-2-840", "a-1-2-841", "b-1-2-840"]
    sample = found.samples["b-1-2-840"]
    assert (sample.origin.subject, sample.origin.spacing_millimetres) == ("b", (0.1, 0.2))
    assert [(one.category, one.organ) for one in sample.objects] == [("thyroid_nodule", "thyroid")]
    assert np.array_equal(sample.objects[0].mask(), square() > 0)


def test_masks_beside_images_are_told_by_their_longer_name(tmp_path):
    save(tmp_path / "x/one.png", noise(1))
    save(tmp_path / "x/one_mask.png", square(4))
    save(tmp_path / "x/one_mask_1.png", square(20))
    found = read(tmp_path, images="./{name}.*", masks="./{name}_mask*.*")
    assert [area(one) for one in found.samples.values()] == [72]
    assert [len(one.objects) for one in found.samples.values()] == [2]


def test_the_path_of_a_mask_can_name_its_class(tmp_path):
    save(tmp_path / "images/7.png", noise(7))
    save(tmp_path / "masks/Left Atrium/7.png", square(4))
    save(tmp_path / "masks/valve/7.png", square(20))
    found = read(
        tmp_path,
        masks="masks/{category}/{name}.*",
        categories={"left atrium": "left_atrium", "valve": "mitral_valve"},
        organs={"mitral_valve": "heart"},
    )
    assert found.problems == ""
    shown = {(one.category, one.organ) for one in found.samples["7"].objects}
    assert shown == {("left_atrium", "heart"), ("mitral_valve", "heart")}


def test_values_of_a_palette_mask_are_classes(tmp_path):
    save_pairs(tmp_path, "1")
    indices = Image.fromarray(square(4, value=1) + square(20, value=2), mode="P")
    indices.putpalette([0, 0, 0, 1, 0, 0, 255, 255, 255])
    indices.save(tmp_path / "masks/1.png")
    found = read(tmp_path, categories={"1": "left_atrium", "2": "myocardium"})
    masks = {one.category: one.mask() for one in found.samples["1"].objects}
    assert np.array_equal(masks["left_atrium"], square(4) > 0)
    assert np.array_equal(masks["myocardium"], square(20) > 0)


@pytest.mark.parametrize("value", [1, 38, 255])
def test_a_mask_of_two_levels_shows_one_thing_whatever_they_are(tmp_path, value):
    save_pairs(tmp_path, "1", mask_value=value)
    assert area(read(tmp_path).samples["1"]) == 36


def test_soft_edges_of_a_jpeg_mask_are_cut_at_half(tmp_path):
    save(tmp_path / "images/1.png", noise(1))
    save(tmp_path / "masks/1.jpg", square(8), quality=90)
    assert np.array_equal(read(tmp_path).samples["1"].objects[0].mask(), square(8) > 0)


def test_sixteen_bits_become_eight_by_the_window_that_is_recorded(tmp_path):
    save_pairs(tmp_path, "1")
    save(tmp_path / "images/1.png", noise(1).astype(np.uint16) * 200)
    sample = read(tmp_path).samples["1"]
    assert sample.image.dtype == np.uint8
    assert sample.origin.intensity_window is not None


def test_classes_that_only_one_was_declared_for_are_refused(tmp_path):
    save_pairs(tmp_path, "1")
    save(tmp_path / "masks/1.png", square(4, value=1) + square(20, value=2))
    found = read(tmp_path)
    assert "masks/1.png: holds the values 0, 1, 2" in found.problems
    assert "folder.categories.1=CATEGORY" in found.problems


def test_a_value_that_nothing_declares_names_the_option(tmp_path):
    save_pairs(tmp_path, "1", mask_value=3)
    found = read(tmp_path, categories={"1": "left_atrium"})
    assert "masks/1.png: shows the class '3'" in found.problems
    assert "folder.categories.3=CATEGORY" in found.problems


def test_a_compressed_mask_holds_no_class_values(tmp_path):
    save(tmp_path / "images/1.png", noise(1, size=(64, 64)))
    save(tmp_path / "masks/1.jpg", noise(2, size=(64, 64)), quality=30)
    found = read(tmp_path, categories={"1": "left_atrium", "2": "myocardium"})
    assert "a JPEG does not keep such" in found.problems


def test_files_without_a_partner_and_masks_of_another_size_are_told_together(tmp_path):
    save_pairs(tmp_path, "1", "2", "3")
    (tmp_path / "masks/1.png").unlink()
    (tmp_path / "images/2.png").unlink()
    save(tmp_path / "masks/3.png", square(size=(12, 32)))
    found = read(tmp_path)
    assert found.report.problems_by_kind() == {"file missing": 2, "mask of another size": 1}
    assert "images/1.png: '1' lacks a mask" in found.problems
    assert "masks/2.png: '2' lacks an image" in found.problems
    assert "12 x 32" in found.problems


def test_an_image_without_a_mask_can_be_kept_as_showing_nothing(tmp_path):
    save_pairs(tmp_path, "1", "2")
    (tmp_path / "masks/1.png").unlink()
    assert read(tmp_path, without_mask="keep").samples["1"].objects == ()
    dropped = read(tmp_path, without_mask="drop")
    assert list(dropped.samples) == ["2"]
    assert dropped.report.notes["files that lack a mask and were left out"] == 1


def test_one_name_in_two_folders_is_a_problem_where_the_pattern_drops_the_folder(tmp_path):
    save_pairs(tmp_path, "a/1", "b/1")
    found = read(tmp_path, images="images/*/{name}.*", masks="masks/*/{name}.*")
    assert "two files with one name" in found.report.problems_by_kind()
    assert "images/a/1.png" in found.problems
    assert "images/b/1.png" in found.problems


def test_an_archive_is_read_by_the_same_patterns(tmp_path):
    save_pairs(tmp_path / "raw", "1", "2")
    archive = shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path / "raw")
    assert sorted(read(Path(archive)).samples) == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": ""}, "source=folder needs folder.name=NAME"),
        ({"categories": {}}, "needs folder.categories.CLASS=CATEGORY"),
        ({"categories": {"1": "thyroid_nodul"}}, "Did you mean thyroid_nodule?"),
        ({"organs": {"thyroid_nodule": "neck"}}, "of the organ thyroid. Take the option out"),
        ({"images": "images/*.png"}, "has no {name}"),
        ({"masks": "masks/{name}_{side}.png"}, "do not have the same words in braces"),
        ({"masks": "mask/{name}.png"}, "folder.masks=mask/{name}.png: fits none of the 2 files"),
        ({"images": "img/{name}.png"}, "folder.images=img/{name}.png: fits none of the 2 files"),
        ({"subject": "("}, "folder.subject=(: is no regular expression"),
        ({"subject": "patient"}, "finds no subject in any of 1 paths"),
        ({"salt_file": "/nowhere/salt"}, "folder.salt_file=/nowhere/salt: cannot be read"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_built(tmp_path, options, expected):
    save_pairs(tmp_path, "1")
    with pytest.raises(ValueError, match=re.escape(expected)):
        read(tmp_path, **options)


def test_options_that_no_file_is_needed_for_are_refused_at_once():
    with pytest.raises(ValueError, match=r"folder\.name=My Scans"):
        FolderConfig(name="My Scans")
    with pytest.raises(ValueError, match=r"folder\.spacing_millimetres=\[0\.1\]"):
        FolderConfig(spacing_millimetres=[0.1])


def test_an_empty_folder_is_an_error_that_tells_the_patterns(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match=r"source=folder expects images/\{name\}\.\*"):
        read(tmp_path)


def test_the_splits_of_a_path_are_kept_and_a_word_that_is_none_is_told(tmp_path):
    save_pairs(tmp_path, "Training/1", "val/2", "test/3")
    found = read(tmp_path, split="images/([^/]+)/")
    splits = [one.origin.official_split for one in found.samples.values()]
    assert splits == ["train", "test", "validation"]
    save_pairs(tmp_path, "extra/4")
    assert (
        "finds 'extra'; expected train, val or test"
        in read(tmp_path, split="images/([^/]+)/").problems
    )


def test_a_secret_hides_names_and_subjects_and_gives_the_same_again(tmp_path):
    save_pairs(tmp_path / "raw", "Smith_John")
    salt = tmp_path / "salt"
    salt.write_text("an old secret of ours\n")
    options = {"subject": r"([A-Z]\w+)", "salt_file": str(salt)}
    [(key, sample)] = read(tmp_path / "raw", **options).samples.items()
    assert list(read(tmp_path / "raw", **options).samples) == [key]
    assert "smith" not in f"{key} {sample.origin}".lower()
    salt.write_text("another secret of ours")
    assert list(read(tmp_path / "raw", **options).samples) != [key]


def test_a_short_secret_is_refused(tmp_path):
    save_pairs(tmp_path / "raw", "1")
    (tmp_path / "salt").write_text("1234")
    with pytest.raises(ValueError, match="holds 4 characters, which can be guessed"):
        read(tmp_path / "raw", salt_file=str(tmp_path / "salt"))


def test_own_pictures_become_corpora_with_their_licence_and_own_categories(tmp_path):
    save_pairs(tmp_path / "raw", *(f"p{number}" for number in range(12)))
    folder = FolderConfig(
        name="clinic",
        licence="CC-BY-4.0",
        categories={"255": "tendon"},
        organs={"tendon": "muscle"},
        subject="p[0-9]+",
    )
    config = BuildConfig(
        source="folder", root=str(tmp_path / "raw"), output=str(tmp_path / "out"), folder=folder
    )
    manifests = build_corpora(config)
    assert sum(one.num_objects for one in manifests.values()) == 12
    corpus = open_corpus(f"{tmp_path}/out/train")
    [source] = corpus.manifest.sources
    assert (source.name, source.licence, source.categories) == ("clinic", "CC-BY-4.0", ("tendon",))
    assert corpus.read_flat(0).objects[0].organ == "muscle"


def test_masks_that_are_all_empty_are_refused_when_built(tmp_path):
    save_pairs(tmp_path / "raw", "1", "2", "3", mask_value=0)
    config = BuildConfig(
        source="folder",
        root=str(tmp_path / "raw"),
        output=str(tmp_path / "out"),
        test_fraction=0.0,
        validation_fraction=0.0,
        folder=FolderConfig(name="clinic", categories=NODULE),
    )
    with pytest.raises(ValueError, match="not one of 3 training images has an object"):
        build_corpora(config)
