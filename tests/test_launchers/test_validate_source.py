import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from launchers import build_shards
from launchers.command_line import run_command
from launchers.validate_source import validate_source
from shards import BuildConfig, ValidateSourceConfig, open_corpus
from tests.support import source_trees_first_frames as first_frames
from tests.support import source_trees_first_pictures as first_pictures
from tests.support import source_trees_pictures as pictures
from tests.support import source_trees_volumes as volumes
from tests.support.corpora import make_us30k
from tests.support.dicom_files import Clip, region, save_clip, save_segmentation
from tests.support.own_data import noise, save, save_pairs, square
from tests.support.source_trees_pictures import SIZE
from tests.support.source_trees_volumes import save_volume


def run(*words):
    return run_command(ValidateSourceConfig, validate_source, arguments=words)


def command_of(shown: str) -> list[str]:
    """Return the options of the command that was proposed."""
    line = next(line for line in shown.splitlines() if "launchers/build_shards.py" in line)
    return shlex.split(line)[2:]


def build(words: list[str], *, output: Path) -> int:
    options = [f"output={output}" if word.startswith("output=") else word for word in words]
    return run_command(BuildConfig, build_shards.build, arguments=options)


def test_the_command_that_is_proposed_builds_the_folder(tmp_path, capsys):
    save_pairs(tmp_path / "My Scans", *(f"{part}/{n}" for part in "ab" for n in range(6)))
    assert run(f"root={tmp_path}/My Scans") == 1
    shown = capsys.readouterr().out
    assert "24 files: 24 .png" in shown
    assert "-> source=folder: 12 pictures with masks" in shown
    assert "Say what these classes are: foreground" in shown
    words = [word.replace("=CATEGORY", "=thyroid_nodule") for word in command_of(shown)]
    assert "folder.name=my-scans" in words
    assert run(*[word for word in words if not word.startswith("output=")]) == 0
    assert build(words, output=tmp_path / "out") == 0
    assert open_corpus(f"{tmp_path}/out/train").manifest.categories == ("thyroid_nodule",)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}.png", "{}_mask.png"),
        ("x/{}.png", "x/{}_mask_1.png"),
        ("train/img/{}.png", "train/ground truth/{}.png"),
        ("P{0}/imgs/{0}.png", "P{0}/labels/{0}_seg.png"),
        ("images/{}_image.png", "annotations/{}_annotation.png"),
        ("us/{}.png", "masks/nodule/{}.png"),
    ],
)
def test_usual_ways_of_naming_masks_are_recognised(tmp_path, capsys, image, mask):
    for number in range(4):
        save(tmp_path / image.format(number), noise(number))
        save(tmp_path / mask.format(number), square())
    run(f"root={tmp_path}")
    shown = capsys.readouterr().out
    assert "-> source=folder: 4 pictures with masks" in shown
    assert "4 images" in shown
    assert "problems" not in shown


def test_class_values_are_listed_to_be_named(tmp_path, capsys):
    save_pairs(tmp_path, "1", "2")
    save(tmp_path / "masks/1.png", square(4, value=1) + square(20, value=2))
    save(tmp_path / "masks/2.png", square(4, value=3))
    assert run(f"root={tmp_path}", "folder.categories.2=myocardium") == 1
    shown = capsys.readouterr().out
    assert "Say what these classes are: 1, 3" in shown
    assert {"folder.categories.1=CATEGORY", "folder.categories.2=myocardium"} <= set(
        command_of(shown)
    )


def test_coco_files_are_recognised_with_their_classes(tmp_path, capsys):
    save(tmp_path / "pictures/a.png", noise(1))
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 20, 2, 20, 20]]}
        ],
        "categories": [{"id": 1, "name": "Thyroid nodule"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert run(f"root={tmp_path}") == 0
    shown = capsys.readouterr().out
    assert "-> source=coco: 1 COCO files" in shown
    assert "objects: 1 thyroid_nodule" in shown


def test_volumes_are_recognised_with_their_labels(tmp_path, capsys):
    for number in range(2):
        frames = np.stack([noise(number), noise(number + 9)])
        save_volume(tmp_path / f"imagesTr/p_{number}_0000.nii.gz", values=frames)
        labels = np.stack([square(4, value=1), square(4, value=2)])
        save_volume(tmp_path / f"labelsTr/p_{number}.nii.gz", values=labels)
    run(f"root={tmp_path}")
    shown = capsys.readouterr().out
    assert "-> source=nifti: 2 volumes with labels" in shown
    assert "4 images" in shown
    assert "Say what these classes are: 1, 2" in shown


def test_dicom_files_are_recognised_with_their_segments_and_need_no_secret_yet(tmp_path, capsys):
    clip = save_clip(tmp_path / "A1", Clip(frames=[noise(1)], regions=[region(0, 0, 31, 23)]))
    save_segmentation(tmp_path / "A2", of=clip, masks={("thyroid nodule", 0): square() > 0})
    assert run(f"root={tmp_path}", f"sheet={tmp_path}/sheet.png") == 0
    shown = capsys.readouterr().out
    assert "-> source=dicom: 1 DICOM images, 1 other DICOM files" in shown
    assert "dicom.salt_file=FILE" in command_of(shown)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] == 6 * 196 + 4


@pytest.mark.parametrize(
    ("source", "write"),
    [
        ("busi", first_pictures.write_busi),
        ("bus_bra", first_pictures.write_bus_bra),
        ("fass", first_pictures.write_fass),
        ("echonet_dynamic", first_frames.write_echonet_dynamic),
        ("tn3k", pictures.write_tn3k),
        ("mmotu_2d", pictures.write_mmotu_2d),
        ("segthy", volumes.write_segthy),
        ("fh_ps_aop", volumes.write_fh_ps_aop),
    ],
)
def test_a_published_dataset_is_recognised_by_its_documented_tree(tmp_path, capsys, source, write):
    expected = write(tmp_path / "raw", SIZE)
    assert run(f"root={tmp_path}/raw") == 0
    shown = capsys.readouterr().out
    assert f"-> source={source}: " in shown
    assert f"\n{len(expected)} images" in shown
    assert f"source={source}" in command_of(shown)


def test_a_published_dataset_without_names_of_its_own_is_recognised_by_its_folder(tmp_path, capsys):
    pictures.write_usgra(tmp_path / "usgra", SIZE)
    assert run(f"root={tmp_path}/usgra") == 0
    assert "-> source=usgra: " in capsys.readouterr().out


def test_the_us30k_layout_is_recognised(tmp_path, capsys):
    make_us30k(tmp_path / "raw")
    assert run(f"root={tmp_path}/raw") == 0
    assert "-> source=us30k: it has MainPatient/class.json" in capsys.readouterr().out


def test_problems_are_listed_with_their_files_and_nothing_is_written(tmp_path, capsys):
    save_pairs(tmp_path / "raw", "1", "2", "3")
    (tmp_path / "raw/masks/2.png").unlink()
    words = [f"root={tmp_path}/raw", f"output={tmp_path}/out", "source=folder"]
    assert run(*words, "folder.categories.foreground=vessel") == 1
    shown = capsys.readouterr().out
    assert "1 problems:" in shown
    assert "images/2.png: '2' lacks a mask" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_folder_that_nothing_fits_is_said_so(tmp_path, capsys):
    for number in range(3):
        save(tmp_path / f"{number}.png", noise(number))
    assert run(f"root={tmp_path}") == 1
    shown = capsys.readouterr().out
    assert "3 files: 3 .png" in shown
    assert "Nothing is recognised" in shown


def test_too_few_images_to_train_on_are_told(tmp_path, capsys):
    save_pairs(tmp_path, "1", "2")
    words = [f"root={tmp_path}", "folder.categories.foreground=vessel", "test_fraction=0.9"]
    assert run(*words, "validation_fraction=0.09") == 1
    assert "all images were drawn for other splits" in capsys.readouterr().out


def test_wrong_options_are_one_clear_error(tmp_path, capsys):
    assert run(f"root={tmp_path}/nowhere") == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert run() == 2
    assert "root=PLACE is needed" in capsys.readouterr().err
    save_pairs(tmp_path, "1")
    assert run(f"root={tmp_path}", "source=coco") == 2
    assert "source=coco expects COCO files" in capsys.readouterr().err
    assert run(f"root={tmp_path}", "folder.masks=mask/{name}.*") == 2
    assert "folder.masks=mask/{name}.*: fits none of the 2 files" in capsys.readouterr().err
    assert run(f"root={tmp_path}", "sheet=a.jpg") == 2
    assert "expected the name of a PNG file" in capsys.readouterr().err
