"""HC18: outlines to fill, pixel sizes from a table, and the real files."""

import csv
from pathlib import Path

import numpy as np
import pytest

from shards.build_report import BuildReport
from shards.config import BuildConfig
from shards.sources.hc18 import HC18
from tests.support import source_trees_pictures as pictures
from tests.support.source_reading import area, read_all
from tests.support.source_trees_pictures import SIZE, picture, save


def test_hc18_takes_the_pixel_size_from_its_table_and_notes_rows_that_lack(tmp_path: Path) -> None:
    pictures.write_hc18(tmp_path, SIZE)
    read = read_all(HC18, tmp_path)
    assert read.samples["000_hc"].origin.spacing_millimetres == (0.5, 0.5)
    assert read.samples["001_hc"].origin.spacing_millimetres is None
    assert read.report.notes["hc18: images without a pixel size in the table"] == 2


def test_an_hc18_outline_that_leaves_the_picture_is_closed_along_its_border(tmp_path: Path) -> None:
    line = np.zeros((40, 60), dtype=np.uint8)
    line[0:20, 10] = line[0:20, 40] = line[20, 10:41] = 255
    save(tmp_path / "training_set/186_HC.png", values=picture(1, size=(40, 60)))
    save(tmp_path / "training_set/186_HC_Annotation.png", values=line)
    sample = read_all(HC18, tmp_path).samples["186_hc"]
    assert area(sample) == 21 * 31


def test_hc18_test_images_are_left_out(tmp_path: Path) -> None:
    pictures.write_hc18(tmp_path, SIZE)
    save(tmp_path / "test_set/000_HC.png", values=picture(7))
    assert len(read_all(HC18, tmp_path).samples) == 3


@pytest.mark.parametrize("size", ["", "wide", "0.0", "-1", "0"])
def test_a_pixel_size_of_hc18_must_be_a_positive_number(size: str, tmp_path: Path) -> None:
    pictures.write_hc18(tmp_path, SIZE)
    table = tmp_path / "training_set_pixel_size_and_HC.csv"
    table.write_text(f"filename,pixel size(mm)\n000_HC.png,{size}\n")
    with pytest.raises(ValueError, match=r"000_HC\.png has the pixel size"):
        read_all(HC18, tmp_path)


@pytest.fixture
def real_hc18(shared_folder: Path) -> Path:
    folder = shared_folder / "data/raw/hc18"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def test_the_real_hc18_has_122_images_of_its_subjects(real_hc18: Path) -> None:
    report = BuildReport()
    plan = HC18(BuildConfig(source="hc18", root=str(real_hc18), output="unused"), report)
    assert len(plan.samples) == 122
    assert report.num_problems == 0
    assert not report.notes
    subjects = {planned.subject for planned in plan.samples}
    assert {int(subject) for subject in subjects} <= {*range(100), 186}
    (open_outline,) = [one for one in plan.samples if one.key == "hc18__186_hc"]
    sample = open_outline.read()
    assert sample.origin.spacing_millimetres is not None
    rows, columns = sample.size
    assert 0.1 < area(sample) / (rows * columns) < 0.8


@pytest.mark.slow
def test_real_heads_have_the_circumference_that_the_challenge_gives(real_hc18: Path) -> None:
    with (real_hc18 / "training_set_pixel_size_and_HC.csv").open() as stream:
        table = {row["filename"]: row for row in csv.DictReader(stream)}
    config = BuildConfig(source="hc18", root=str(real_hc18), output="unused")
    planned = {one.key: one for one in HC18(config, BuildReport()).samples}
    for key in ("hc18__186_hc", *list(planned)[::10]):
        sample = planned[key].read()
        stated = float(
            table[f"{key.removeprefix('hc18__').upper()}.png"]["head circumference (mm)"]
        )
        assert sample.origin.spacing_millimetres is not None
        millimetres = sample.origin.spacing_millimetres[0]
        # Half axes of the ellipse with the mask's second moments, and Ramanujan's circumference.
        (thing,) = sample.objects
        variances = np.linalg.eigvalsh(np.cov(np.array(np.nonzero(thing.mask()))))
        short, long = 2 * np.sqrt(variances) * millimetres
        around = np.pi * (3 * (short + long) - np.sqrt((3 * short + long) * (short + 3 * long)))
        tolerance = 0.1 if key == "hc18__186_hc" else 0.03
        assert around == pytest.approx(stated, rel=tolerance), key
