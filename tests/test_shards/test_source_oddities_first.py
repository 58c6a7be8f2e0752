"""What is odd about single datasets from 105US to FASS, as built corpora show it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from shards import SOURCES, BuildConfig, build_corpora, open_corpus, validate_corpus
from shards.build_report import BuildReport, InputError
from shards.sample import UltrasoundSample
from tests.support import source_trees_first_frames as frames
from tests.support import source_trees_first_pictures as pictures
from tests.support.source_trees_pictures import SIZE, as_255, block, nothing, picture, save
from tests.support.source_trees_volumes import save_volume


def _read(name: str, root: Path) -> dict[str, UltrasoundSample]:
    report = BuildReport()
    plan = SOURCES[name](BuildConfig(source=name, root=str(root), output="unused"), report)
    assert report.num_problems == 0, report.describe_problems()
    return {one.key.partition("__")[2]: one.read() for one in plan.samples}


def _problems(name: str, root: Path) -> BuildReport:
    report = BuildReport()
    config = BuildConfig(source=name, root=str(root), output="unused")
    for planned in SOURCES[name](config, report).samples:
        try:
            planned.read()
        except ValueError as error:
            report.add(InputError(getattr(error, "kind", "unreadable"), str(error)))
    return report


@pytest.mark.parametrize(
    ("name", "write"),
    [("bus_bra", pictures.write_bus_bra), ("echonet_dynamic", frames.write_echonet_dynamic)],
)
def test_a_source_builds_valid_corpora_with_its_own_test(name, write, tmp_path):
    write(tmp_path / "raw", SIZE)
    output = str(tmp_path / "out")
    build_corpora(BuildConfig(source=name, root=str(tmp_path / "raw"), output=output))
    assert validate_corpus(output) == []
    test = open_corpus(f"{output}/test")
    assert {test.read_flat(index).origin.official_split for index in range(test.num_samples)} == {
        "test"
    }


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("brachial_plexus", frames.write_brachial_plexus),
        ("echonet_dynamic", frames.write_echonet_dynamic),
        ("echonet_pediatric", frames.write_echonet_pediatric),
    ],
)
def test_a_mask_lies_on_the_frame_that_its_number_names(name, write, tmp_path):
    write(tmp_path, SIZE)
    for sample in _read(name, tmp_path).values():
        assert sample.origin.frame is not None
        assert abs(int(sample.image.mean()) - 20 * sample.origin.frame) <= 2


def test_a_frame_beyond_the_end_of_a_video_is_named(tmp_path):
    frames.write_echonet_dynamic(tmp_path, SIZE)
    table = tmp_path / "EchoNet-Dynamic/VolumeTracings.csv"
    table.write_text(table.read_text().replace(",3\n", ",30\n"))
    problems = _problems("echonet_dynamic", tmp_path).describe_problems()
    assert "ends after 4 frames, but frame 30" in problems


def test_ddti_is_read_out_of_the_bundle_that_carries_it(tmp_path):
    expected = pictures.write_ddti(tmp_path / "inner", SIZE)
    folder = tmp_path / "bundle/Thyroid Dataset/DDTI dataset"
    folder.mkdir(parents=True)
    shutil.make_archive(str(folder / "DDTI"), "zip", tmp_path / "inner")
    shutil.make_archive(str(tmp_path / "raw/TN3K"), "zip", tmp_path / "bundle")
    assert set(_read("ddti", tmp_path / "raw")) == set(expected)


def test_asus_is_read_out_of_a_zip_in_a_tar(tmp_path):
    expected = frames.write_asus(tmp_path / "inner", SIZE)
    shutil.make_archive(str(tmp_path / "outer/ASUS/DataArrays"), "zip", tmp_path / "inner")
    shutil.make_archive(str(tmp_path / "raw/ASUS"), "gztar", tmp_path / "outer")
    samples = _read("asus", tmp_path / "raw")
    assert {name.lower() for name in expected} == set(samples)
    first = samples["patient_001_0000"]
    assert np.abs(first.image.astype(int) - picture(0)[::-1, ::-1]).max() <= 1


@pytest.mark.parametrize("content", [b"broken", b"\x93NUMPY\x01\x00\x10\x00{'shape': (3"])
def test_a_damaged_array_of_asus_is_a_problem_and_others_are_planned(content, tmp_path):
    expected = frames.write_asus(tmp_path, SIZE)
    path = tmp_path / "DataArrays/Patient_001_ultrasound.npy"
    path.write_bytes(content)
    report = BuildReport()
    plan = SOURCES["asus"](BuildConfig(source="asus", root=str(tmp_path), output="unused"), report)
    assert f"{path}: is no plain numpy array" in report.describe_problems()
    assert len(plan.samples) == len(expected) // 2
    assert not report.refuses(max_skipped_samples=1)


def test_a_camus_mask_keeps_what_lies_over_black_pixels(tmp_path):
    stem = tmp_path / "patient0001/patient0001_2CH_half_sequence"
    save_volume(
        Path(f"{stem}.nii.gz"), values=np.zeros((1, *SIZE), np.uint8), spacing=(0.3, 0.2, 1)
    )
    save_volume(Path(f"{stem}_gt.nii.gz"), values=block(1)[None].astype(np.uint8))
    (sample,) = _read("camus", tmp_path).values()
    assert np.array_equal(sample.objects[0].mask(), block(1))


def test_the_spacing_of_a_volume_is_along_rows_and_columns(tmp_path):
    stem = tmp_path / "patient0001/patient0001_2CH_half_sequence"
    columns, rows = 0.25, 0.5
    volume = np.stack([picture(1)])
    save_volume(Path(f"{stem}.nii.gz"), values=volume, spacing=(columns, rows, 1.0))
    save_volume(Path(f"{stem}_gt.nii.gz"), values=block(1)[None].astype(np.uint8))
    (sample,) = _read("camus", tmp_path).values()
    assert sample.origin.spacing_millimetres == pytest.approx((rows, columns))


def test_a_class_of_disputed_meaning_is_a_problem(tmp_path):
    save_volume(tmp_path / "Site/p-1-4_image.nii.gz", values=np.stack([picture(1)]))
    save_volume(tmp_path / "Site/p-1-4_label.nii.gz", values=block(1)[None].astype(np.uint8) * 6)
    assert "the values [6]" in _problems("cardiacudc", tmp_path).describe_problems()


def test_touching_chambers_stay_two_objects(tmp_path):
    frames.write_echocp(tmp_path, SIZE)
    assert len(_read("echocp", tmp_path)["001_r_0000"].objects) == 2


def test_the_same_number_in_two_class_folders_is_two_images(tmp_path):
    pictures.write_buid(tmp_path, SIZE)
    samples = _read("buid", tmp_path)
    assert samples.keys() == {"benign-001", "benign-002", "malignant-001"}
    assert not np.array_equal(samples["benign-001"].image, samples["malignant-001"].image)


def test_busi_normal_images_are_negatives_and_a_lesion_in_one_is_a_problem(tmp_path):
    pictures.write_busi(tmp_path, SIZE)
    assert _read("busi", tmp_path)["normal-normal-1-"].objects == ()
    mask = tmp_path / "Dataset_BUSI_with_GT/normal/normal (1)_mask.png"
    save(mask, values=as_255(block(1)))
    assert "has the class 'normal'" in _problems("busi", tmp_path).describe_problems()


def test_a_mask_in_other_colours_is_refused(tmp_path):
    pictures.write_bus_uclm(tmp_path, SIZE)
    mask = tmp_path / "BUS-UCLM/masks/ANFO_005.png"
    save(mask, values=np.full((*SIZE, 3), 130, dtype=np.uint8))
    assert _problems("bus_uclm", tmp_path).problems_by_kind() == {"mask in other colours": 1}


def test_both_classes_of_fallmud_are_there(tmp_path):
    pictures.write_fallmud(tmp_path, SIZE)
    categories = {
        thing.category for sample in _read("fallmud", tmp_path).values() for thing in sample.objects
    }
    assert categories == {"aponeurosis", "fascicle"}


def test_a_needle_without_a_plexus_is_left_out_and_counted(tmp_path):
    frames.write_brachial_plexus(tmp_path, SIZE)
    folder = tmp_path / "data/Butterfly"
    save(folder / "needle_masks/b240/b240_002.jpg", values=as_255(nothing()))
    report = _problems("brachial_plexus", tmp_path)
    assert report.notes["frames with a mask of the needle alone, left out"] == 1
    assert report.num_problems == 0


def test_doubts_about_the_layout_are_told_with_the_first_problem(tmp_path):
    pictures.write_bus_bra(tmp_path, SIZE)
    (tmp_path / "BUSBRA/Masks/mask_0001-l.png").unlink()
    problems = _problems("bus_bra", tmp_path).describe_problems()
    assert "that the number in a name is the patient" in problems
