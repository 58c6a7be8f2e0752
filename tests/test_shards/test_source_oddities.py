"""What is odd about single datasets from Fast-U-Net on, and what their files must not do."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from shards import build_corpora, validate_corpus
from shards.build_report import BuildReport
from shards.config import BuildConfig
from shards.sources import SOURCES
from shards.sources.fast_u_net import FAST_U_NET
from shards.sources.gist514_db import GIST514_DB
from shards.sources.hmc_qu import HMC_QU
from shards.sources.kidneyus import KIDNEYUS
from shards.sources.mmotu_2d import MMOTU_2D
from shards.sources.mup import MUP
from shards.sources.published_source import PublishedSource
from shards.sources.regpro import REGPRO
from shards.sources.s1 import S1
from shards.sources.sa_med2d_20m import SA_MED2D_20M
from shards.sources.segthy import SEGTHY
from shards.sources.tg3k import TG3K
from shards.sources.thyroidultrasoundcineclip import THYROIDULTRASOUNDCINECLIP
from shards.sources.tn3k import TN3K
from shards.sources.tnscui import TNSCUI
from shards.sources.ubpd import UBPD
from tests.support import source_trees_pictures as pictures
from tests.support import source_trees_volumes as volumes
from tests.support.source_reading import area, read_all
from tests.support.source_trees_pictures import SIZE, Writer, as_255, block, picture, save

# Pictures


def test_heads_and_abdomens_of_fast_u_net_do_not_mix(tmp_path: Path) -> None:
    pictures.write_fast_u_net(tmp_path, SIZE)
    save(tmp_path / "Dataset/HC/HC_image1/0039.png", values=picture(4))
    save(tmp_path / "Dataset/HC/HC_mask/0039_Annotation.png", values=as_255(block(3)))
    categories = {
        key: sample.objects[0].category
        for key, sample in read_all(FAST_U_NET, tmp_path).samples.items()
        if "0039" in key
    }
    assert categories == {"ac-0039": "fetal_abdomen", "hc-0039": "fetal_head"}


def test_fast_u_net_asks_for_its_rar_archives_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "Dataset/AC").mkdir(parents=True)
    (tmp_path / "Dataset/AC/AC_mask.rar").write_bytes(b"Rar!")
    pictures.save(tmp_path / "Dataset/AC/AC_image1/0039.png", values=picture(1))
    problems = read_all(FAST_U_NET, tmp_path).problems
    assert "AC_mask.rar" in problems
    assert "by hand" in problems


def test_the_second_annotator_of_kidneyus_is_left_out(tmp_path: Path) -> None:
    pictures.write_kidneyus(tmp_path, SIZE)
    shutil.rmtree(tmp_path / "kidneyUS-main/labels/reviewed_masks_2")
    assert len(read_all(KIDNEYUS, tmp_path).samples) == 3


def test_a_kidney_with_regions_but_no_capsule_is_refused(tmp_path: Path) -> None:
    pictures.write_kidneyus(tmp_path, SIZE)
    (capsule,) = tmp_path.glob("**/reviewed_masks_1/capsule/100_IM-0247*")
    capsule.unlink()
    assert "expected one in capsule" in read_all(KIDNEYUS, tmp_path).problems


def test_an_ovary_in_no_list_has_no_class_and_is_refused(tmp_path: Path) -> None:
    pictures.write_mmotu_2d(tmp_path, SIZE)
    (tmp_path / "OTU_2d/train_cls.txt").write_text("1.JPG 2\n1.JPG 3\n")
    read = read_all(MMOTU_2D, tmp_path)
    assert read.report.problems_by_kind() == {
        "image in no list": 1,
        "line that cannot be used": 1,
    }
    assert "3.JPG" in read.problems


def test_s1_notes_grey_values_that_are_no_class(tmp_path: Path) -> None:
    pictures.write_s1(tmp_path, SIZE)
    mask = np.full(SIZE, 60, dtype=np.uint8)
    save(tmp_path / "Data/TrainingDataSet/Expanded-3-channel-Labels/1.png", values=mask)
    read = read_all(S1, tmp_path)
    assert read.samples["train-1"].objects == ()
    assert read.report.notes["s1: masks with grey values beside 0, 127 and 255"] == 1


def test_two_masks_of_one_image_are_refused(tmp_path: Path) -> None:
    pictures.write_s1(tmp_path, SIZE)
    twice = tmp_path / "Data/TrainingDataSet/Expanded-3-channel-Labels/0.bmp"
    save(twice, values=as_255(block(3)))
    assert str(twice) in read_all(S1, tmp_path).problems


def test_tn3k_without_the_list_of_a_fold_trains_on_all_of_trainval(tmp_path: Path) -> None:
    pictures.write_tn3k(tmp_path, SIZE)
    (fold,) = tmp_path.glob("**/tn3k-trainval-fold0.json")
    fold.unlink()
    splits = [one.origin.official_split for one in read_all(TN3K, tmp_path).samples.values()]
    assert sorted(map(str, splits)) == ["test", "train", "train", "train"]


def test_a_tn3k_fold_that_does_not_fit_the_images_is_refused(tmp_path: Path) -> None:
    pictures.write_tn3k(tmp_path, SIZE)
    (fold,) = tmp_path.glob("**/tn3k-trainval-fold0.json")
    pictures.write_json(fold, content={"train": [1, 2, 3], "val": [0]})
    read = read_all(TN3K, tmp_path)
    assert read.report.refuses(max_skipped_samples=100)
    assert "expected 0 to 2" in read.problems


def test_tnscui_takes_palette_masks_and_refuses_other_values(tmp_path: Path) -> None:
    pictures.write_tnscui(tmp_path, SIZE)
    folder = tmp_path / "tnscui/SegmentationClass"
    palette = Image.fromarray(block(2).astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.save(folder / "1.png")
    save(folder / "2.png", values=block(2).astype(np.uint8) * 2)
    save(folder / "3.png", values=(block(1) * 255 | block(5)).astype(np.uint8))
    mixed = np.where(block(1), 255, 0).astype(np.uint8)
    mixed[20:, 20:] = 1
    save(folder / "3.png", values=mixed)
    read = read_all(TNSCUI, tmp_path)
    assert area(read.samples["1"]) == block(2).sum()
    assert "values [2]" in read.problems
    assert "both 1 and 255" in read.problems


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": "gutou", "points": [[1, 1], [9, 1], [9, 9]]}, "'gutou'"),
        ({"label": "shenjing", "points": [[1, 1], [9, 9]]}, "2 points"),
        ({"label": "shenjing"}, "lacks its label or its points"),
        ("shenjing", "lacks its label or its points"),
    ],
)
def test_ubpd_refuses_shapes_that_it_cannot_name_or_fill(
    shape: object, message: str, tmp_path: Path
) -> None:
    pictures.write_ubpd(tmp_path, SIZE)
    content = {"shapes": [shape], "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    pictures.write_json(tmp_path / "json_train/3_0001.json", content=content)
    assert message in read_all(UBPD, tmp_path).problems


def test_ubpd_reads_files_that_are_not_utf_8(tmp_path: Path) -> None:
    pictures.write_ubpd(tmp_path, SIZE)
    path = tmp_path / "json_train/12_0035.json"
    path.write_bytes(path.read_bytes().replace(b'{"shapes"', b'{"by": "Andr\xe9", "shapes"'))
    read = read_all(UBPD, tmp_path)
    assert area(read.samples["12_0035"]) == block(1).sum()
    assert read.report.notes == {"files that are not UTF-8, read as Latin-1": 1}


def test_each_annotation_of_gist514_is_an_object_and_a_nameless_class_is_refused(
    tmp_path: Path,
) -> None:
    pictures.write_gist514_db(tmp_path, SIZE)
    assert len(read_all(GIST514_DB, tmp_path).samples["0001"].objects) == 2
    (listing,) = tmp_path.glob("**/train_anno*.json")
    listing.write_text(listing.read_text().replace('"category_id": 4', '"category_id": 9'))
    assert "'9'" in read_all(GIST514_DB, tmp_path).problems


@pytest.mark.parametrize("name", ["SAMed2D_v1", "SAMed2D_v1_class_mapping_id"])
def test_a_list_of_sa_med2d_that_is_no_mapping_is_refused(name: str, tmp_path: Path) -> None:
    pictures.write_sa_med2d(tmp_path, SIZE)
    pictures.write_json(tmp_path / f"SAMed2Dv1/{name}.json", content=[])
    with pytest.raises(ValueError, match=f"{name}.json: expected a JSON mapping"):
        read_all(SA_MED2D_20M, tmp_path)


def test_a_published_source_builds_into_valid_corpora(tmp_path: Path) -> None:
    pictures.write_mmotu_2d(tmp_path / "raw", SIZE)
    output = str(tmp_path / "out")
    manifests = build_corpora(
        BuildConfig(source="mmotu_2d", root=str(tmp_path / "raw"), output=output)
    )
    assert {split: one.num_samples for split, one in manifests.items()} == {"train": 2, "test": 1}
    assert validate_corpus(output) == []


# Volumes, videos, arrays


def test_volumes_stand_upright_and_keep_their_spacing(tmp_path: Path) -> None:
    volumes.write_mup(tmp_path / "mup", SIZE)
    scan = read_all(MUP, tmp_path / "mup").samples["train-01_0001"]
    assert np.array_equal(scan.image, np.flipud(picture(2)))
    assert scan.origin.spacing_millimetres == pytest.approx((0.25, 0.5))
    assert (scan.origin.sequence, scan.origin.frame) == ("train-01", 1)

    volumes.write_regpro(tmp_path / "regpro", SIZE)
    sagittal = read_all(REGPRO, tmp_path / "regpro").samples["train-case000001_0001"]
    assert np.array_equal(sagittal.image, np.rot90(picture(2), k=2))
    assert sagittal.origin.spacing_millimetres == pytest.approx((0.25, 0.5))


def test_channels_of_regpro_overlap_and_each_is_an_object(tmp_path: Path) -> None:
    volumes.write_regpro(tmp_path, SIZE)
    sample = read_all(REGPRO, tmp_path).samples["train-case000001_0001"]
    assert [thing.category for thing in sample.objects] == ["prostate", "prostate_landmark"]
    assert (sample.objects[0].mask() & sample.objects[1].mask()).any()


def test_segthy_refuses_values_beyond_its_classes(tmp_path: Path) -> None:
    volumes.write_segthy(tmp_path, SIZE)
    labels = np.full((2, *SIZE), 6, dtype=np.uint8)
    (path,) = tmp_path.glob("**/US_thyroid_label/001*")
    volumes.save_volume(path, values=labels)
    assert "values [6]" in read_all(SEGTHY, tmp_path).problems


def test_hmc_qu_counts_the_frames_of_its_sheet_from_one(tmp_path: Path) -> None:
    volumes.write_hmc_qu(tmp_path, SIZE)
    sample = read_all(HMC_QU, tmp_path).samples["es0001_4ch_1_0001"]
    assert np.array_equal(sample.image, picture(1))  # Reference Frame is 2, the second frame


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["ES0001_4CH_1", "", "2", "4", "x"], "2 masks, the sheet says frames 2 to 4"),
        (["ES0009_4CH_1", "", "2", "3", "x"], "no sheet has a row for 'ES0001_4CH_1'"),
    ],
)
def test_hmc_qu_refuses_masks_that_its_sheet_does_not_place(
    row: list[str], message: str, tmp_path: Path
) -> None:
    volumes.write_hmc_qu(tmp_path, SIZE)
    rows = [["ECHO", "SEG1", "Beginn", "Ende", "LV Wall"], row, ["ES0002 4CH_1", "", "1", "2", "x"]]
    volumes.save_sheet(tmp_path / "A4C.xlsx", rows=rows)
    read = read_all(HMC_QU, tmp_path)
    assert message in read.problems
    assert len(read.samples) == 2  # of the other clip, whose columns were found by their places


def test_cine_clips_may_be_named_by_texts_and_lie_in_any_order(tmp_path: Path) -> None:
    volumes.write_cine_clips(tmp_path, SIZE)
    with h5py.File(tmp_path / "dataset.hdf5", "a") as file:
        del file["annot_id"]
        file["annot_id"] = np.array(["12_1", "3_", "12_2"], dtype=h5py.string_dtype())
    samples = read_all(THYROIDULTRASOUNDCINECLIP, tmp_path).samples
    assert samples.keys() == {"12_1_00007", "3_00001", "12_2_00002"}
    assert samples["12_1_00007"].origin.subject == samples["12_2_00002"].origin.subject == "12"
    assert np.array_equal(samples["3_00001"].image, picture(1))


@pytest.mark.parametrize(
    ("source", "write", "broken"),
    [
        (HMC_QU, volumes.write_hmc_qu, "**/Mask_ES0001*"),
        (HMC_QU, volumes.write_hmc_qu, "**/ES0001_4CH_1.avi"),
        (MUP, volumes.write_mup, "**/microUS_train_01.nii.gz"),
        (REGPRO, volumes.write_regpro, "train/us_labels/*"),
        (SEGTHY, volumes.write_segthy, "**/US_thyroid_label/001*"),
        (TG3K, pictures.write_tg3k, "**/thyroid-image/0001.jpg"),
        (UBPD, pictures.write_ubpd, "**/12_0034.json"),
    ],
    ids=lambda one: getattr(one, "card", one).name if hasattr(one, "card") else None,
)
def test_a_broken_file_is_a_problem_that_names_it_and_others_are_read(
    source: PublishedSource, write: Writer, broken: str, tmp_path: Path
) -> None:
    expected = write(tmp_path, SIZE)
    (path,) = tmp_path.glob(broken)
    path.write_bytes(b"broken")
    read = read_all(source, tmp_path)
    assert str(path) in read.problems
    assert 0 < len(read.samples) < len(expected)


# Tables


# Real files


@pytest.mark.parametrize(
    ("name", "count", "categories"),
    [("usgra", 80, {"nerve", "vessel"}), ("dl_track", 8, {"aponeurosis"})],
)
def test_real_images_are_as_many_as_published(
    name: str, count: int, categories: set[str], shared_folder: Path
) -> None:
    root = shared_folder / "data/raw" / name
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    report = BuildReport()
    plan = SOURCES[name](BuildConfig(source=name, root=str(root), output="unused"), report)
    assert (len(plan.samples), report.num_problems, report.notes.total()) == (count, 0, 0)
    some = [planned.read() for planned in plan.samples[::7]]
    assert {thing.category for sample in some for thing in sample.objects} == categories
