"""Tables of raw datasets: what they say of an image belongs to it, and what is wrong in them."""

import shutil
from pathlib import Path

import pytest

from shards import BuildConfig, build_corpora, open_corpus
from shards.sample import UltrasoundSample
from shards.sources import SOURCES, PublishedSource, SourcePlan
from tests.support import source_trees_first_frames as first_frames
from tests.support import source_trees_first_pictures as first_pictures
from tests.support import source_trees_pictures as pictures
from tests.support import source_trees_volumes as volumes
from tests.support.source_contract import plan_tree
from tests.support.source_trees_pictures import SIZE, Writer


def _source(name: str) -> PublishedSource:
    source = SOURCES[name]
    assert isinstance(source, PublishedSource)
    return source


def _build(name: str, *, folder: Path, overwrite: bool = False) -> dict[str, UltrasoundSample]:
    config = BuildConfig(
        source=name,
        root=str(folder / "raw"),
        output=str(folder / "out"),
        overwrite=overwrite,
        validation_fraction=0.0,
        test_fraction=0.0,
    )
    corpora = [open_corpus(str(folder / "out" / split)) for split in build_corpora(config)]
    samples = [one.read_flat(place) for one in corpora for place in range(one.num_samples)]
    return {sample.key.partition("__")[2]: sample for sample in samples}


def _replace(path: Path, *, old: str, new: str) -> None:
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))


def _told_of(sample: UltrasoundSample) -> object:
    """Return the spacing, or where there is none the class."""
    return sample.origin.spacing_millimetres or sample.objects[0].category


# What a table says is built again where it changes


@pytest.mark.parametrize(
    ("name", "write", "table", "change", "key", "told"),
    [
        (
            "bus_bra",
            first_pictures.write_bus_bra,
            "BUSBRA/5-fold-cv.csv",
            ("bus_0001-l,benign", "bus_0001-l,malignant"),
            "bus_0001-l",
            ("breast_nodule_benign", "breast_nodule_malignant"),
        ),
        (
            "mmotu_2d",
            pictures.write_mmotu_2d,
            "OTU_2d/train_cls.txt",
            ("1.JPG 2", "1.JPG 4"),
            "1",
            ("ovarian_teratoma", "ovarian_simple_cyst"),
        ),
        (
            "hc18",
            pictures.write_hc18,
            "training_set_pixel_size_and_HC.csv",
            (",0.5,", ",0.25,"),
            "000_hc",
            ((0.5, 0.5), (0.25, 0.25)),
        ),
    ],
)
def test_a_value_that_was_mended_in_a_table_alone_is_in_the_next_build(
    name: str,
    write: Writer,
    table: str,
    change: tuple[str, str],
    key: str,
    told: tuple[object, object],
    tmp_path: Path,
) -> None:
    write(tmp_path / "raw", SIZE)
    assert _told_of(_build(name, folder=tmp_path)[key]) == told[0]
    _replace(tmp_path / "raw" / table, old=change[0], new=change[1])
    with pytest.raises(ValueError, match="holds another build"):
        _build(name, folder=tmp_path)
    assert _told_of(_build(name, folder=tmp_path, overwrite=True)[key]) == told[1]


def test_a_frame_that_gets_another_mask_by_its_sheet_is_another_sample(tmp_path: Path) -> None:
    volumes.write_hmc_qu(tmp_path, SIZE)

    def fingerprint() -> str:
        plan, _ = plan_tree(_source("hmc_qu"), root=tmp_path)
        (planned,) = [one for one in plan.samples if one.key == "hmc_qu__es0001_4ch_1_0001"]
        return planned.fingerprint

    before = fingerprint()
    heading = ["ECHO", "SEG1", "Reference Frame", "End of Cycle", "LV Wall"]
    rows = [heading, ["ES0001_4CH_1", "", "1", "2", "x"], ["ES0002 4CH_1", "", "1", "2", "x"]]
    volumes.save_sheet(tmp_path / "A4C.xlsx", rows=rows)
    assert fingerprint() != before


# One name, twice


def _plan_is_refused(name: str, *, root: Path) -> str:
    plan, report = plan_tree(_source(name), root=root)
    assert report.refuses(max_skipped_samples=1000)
    assert plan.samples
    (kind,) = report.problems_by_kind()
    assert kind in {"two files with one name", "two rows with one name"}
    return report.describe_problems()


@pytest.mark.parametrize(
    ("name", "write", "first", "second"),
    [
        (
            "brachial_plexus",
            first_frames.write_brachial_plexus,
            "data/Butterfly/videos/b240.mp4",
            "older/Butterfly/videos/b240.mp4",
        ),
        (
            "brachial_plexus",
            first_frames.write_brachial_plexus,
            "data/Butterfly/ac_masks/b240/b240_003.jpg",
            "data/Butterfly/ac_masks/b240/b240_3.jpg",
        ),
        (
            "echonet_dynamic",
            first_frames.write_echonet_dynamic,
            "EchoNet-Dynamic/Videos/0X1A.avi",
            "older/Videos/0X1A.avi",
        ),
        (
            "echonet_pediatric",
            first_frames.write_echonet_pediatric,
            "pediatric_echo_avi/pediatric_echo_avi/A4C/Videos/CR99b0001-CR99b0002-000001.avi",
            "older/A4C/Videos/CR99b0001-CR99b0002-000001.avi",
        ),
    ],
)
def test_of_two_files_with_one_name_none_is_lost_unsaid(
    name: str, write: Writer, first: str, second: str, tmp_path: Path
) -> None:
    write(tmp_path, SIZE)
    (tmp_path / second).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / first, tmp_path / second)
    problems = _plan_is_refused(name, root=tmp_path)
    assert str(tmp_path / first) in problems
    assert str(tmp_path / second) in problems
    assert "Remove one." in problems


@pytest.mark.parametrize(
    ("name", "write", "table", "row", "message"),
    [
        (
            "bus_bra",
            first_pictures.write_bus_bra,
            "BUSBRA/5-fold-cv.csv",
            "bus_0001-l,malignant,1",
            r"(benign, kFold 2) and {table} (malignant, kFold 1): both are of 'bus_0001-l'",
        ),
        (
            "hc18",
            pictures.write_hc18,
            "training_set_pixel_size_and_HC.csv",
            "000_HC.png,0.9,44",
            "(0.5) and {table} (0.9): both are of '000_HC.png'",
        ),
        (
            "acouslic",
            first_frames.write_acouslic,
            "circumferences/fetal_abdominal_circumferences_per_sweep.csv",
            "aaaa,18",
            "(subject 17) and {table} (subject 18): both are of 'aaaa'",
        ),
        (
            "echonet_dynamic",
            first_frames.write_echonet_dynamic,
            "EchoNet-Dynamic/FileList.csv",
            "0X1A,60,TEST",
            "(TRAIN) and {table} (TEST): both are of '0X1A'",
        ),
        (
            "camus",
            first_frames.write_camus,
            "subgroup_training.txt",
            "patient0002",
            "{table}: both are of 'patient0002'",
        ),
    ],
)
def test_of_two_rows_that_differ_on_one_image_none_is_lost_unsaid(
    name: str, write: Writer, table: str, row: str, message: str, tmp_path: Path
) -> None:
    write(tmp_path, SIZE)
    path = tmp_path / table
    path.write_bytes(path.read_bytes() + f"{row}\n".encode())
    assert message.format(table=path) in _plan_is_refused(name, root=tmp_path)


def test_two_sheets_that_differ_on_one_clip_are_named(tmp_path: Path) -> None:
    volumes.write_hmc_qu(tmp_path, SIZE)
    heading = ["ECHO", "SEG1", "Reference Frame", "End of Cycle", "LV Wall"]
    rows = [heading, ["ES0001_4CH_1", "", "1", "2", "x"]]
    volumes.save_sheet(tmp_path / "HMC_QU.xlsx", rows=rows)
    problems = _plan_is_refused("hmc_qu", root=tmp_path)
    assert f"{tmp_path / 'A4C.xlsx'} (frames 2 to 3) and {tmp_path / 'HMC_QU.xlsx'}" in problems


def test_a_row_that_is_there_twice_and_says_the_same_is_no_problem(tmp_path: Path) -> None:
    expected = first_pictures.write_bus_bra(tmp_path, SIZE)
    table = tmp_path / "BUSBRA/5-fold-cv.csv"
    table.write_bytes(table.read_bytes() + b"bus_0001-l,Benign,2\n")
    plan, report = plan_tree(_source("bus_bra"), root=tmp_path)
    assert report.num_problems == 0
    assert len(plan.samples) == len(expected)


# Values that cannot be


def _splits_of(plan: SourcePlan) -> dict[str, str | None]:
    return {one.key.partition("__")[2]: one.split for one in plan.samples}


@pytest.mark.parametrize("fold", ["", "first", "0", "6", "1.5"])
def test_a_fold_of_bus_bra_that_is_none_is_told_with_file_and_image(
    fold: str, tmp_path: Path
) -> None:
    first_pictures.write_bus_bra(tmp_path, SIZE)
    table = tmp_path / "BUSBRA/5-fold-cv.csv"
    _replace(table, old="bus_0002-l,malignant,1", new=f"bus_0002-l,malignant,{fold}")
    plan, report = plan_tree(_source("bus_bra"), root=tmp_path)
    assert report.problems_by_kind() == {"line that cannot be used": 1}
    assert f"{table}: bus_0002-l has the kFold {fold!r}; expected 1 to 5" in (
        report.describe_problems()
    )
    assert _splits_of(plan).keys() == {"bus_0001-l", "bus_0001-r", "bus_0003-l"}


def test_a_tracing_before_the_first_frame_is_a_problem_and_not_the_last_frame(
    tmp_path: Path,
) -> None:
    expected = first_frames.write_echonet_pediatric(tmp_path, SIZE)
    table = tmp_path / "pediatric_echo_avi/pediatric_echo_avi/PSAX/VolumeTracings.csv"
    _replace(table, old=",3\r\n", new=",0\r\n")
    plan, report = plan_tree(_source("echonet_pediatric"), root=tmp_path)
    assert report.problems_by_kind() == {"frame that cannot be": 1}
    message = f"{table}: CR32a7555-CR32a7582-000039 has a tracing of frame 0"
    assert message in report.describe_problems()
    assert len(plan.samples) == len(expected) - 1


def test_videos_that_no_list_of_splits_names_are_counted(tmp_path: Path) -> None:
    first_frames.write_echonet_dynamic(tmp_path, SIZE)
    _replace(tmp_path / "EchoNet-Dynamic/FileList.csv", old="0X2B,50,TEST\r\n", new="")
    plan, report = plan_tree(_source("echonet_dynamic"), root=tmp_path)
    assert report.notes["videos that FileList.csv does not name; their split is drawn"] == 1
    assert _splits_of(plan) == {
        "0x1a_0002": "train",
        "0x1a_0003": "train",
        "0x2b_0002": None,
        "0x2b_0003": None,
    }


def test_a_split_of_echonet_dynamic_that_is_none_is_refused(tmp_path: Path) -> None:
    first_frames.write_echonet_dynamic(tmp_path, SIZE)
    table = tmp_path / "EchoNet-Dynamic/FileList.csv"
    _replace(table, old="0X2B,50,TEST", new="0X2B,50,EXTERNAL")
    _, report = plan_tree(_source("echonet_dynamic"), root=tmp_path)
    assert report.refuses(max_skipped_samples=1000)
    assert f"{table}: 0X2B has the Split 'EXTERNAL'; expected TRAIN, VAL, TEST" in (
        report.describe_problems()
    )


# Tables that are not as documented


@pytest.mark.parametrize(
    ("name", "write", "table", "content"),
    [
        (
            "acouslic",
            first_frames.write_acouslic,
            "circumferences/fetal_abdominal_circumferences_per_sweep.csv",
            b"sweep,person\naaaa,17\n",
        ),
        ("bus_bra", first_pictures.write_bus_bra, "BUSBRA/5-fold-cv.csv", b"ID,Fold\nbus,1\n"),
        (
            "echonet_dynamic",
            first_frames.write_echonet_dynamic,
            "EchoNet-Dynamic/VolumeTracings.csv",
            b"FileName,X,Y,Frame\n0X1A.avi,1,1,2\n",
        ),
        ("hc18", pictures.write_hc18, "training_set_pixel_size_and_HC.csv", b"file,size\na,1\n"),
        ("hmc_qu", volumes.write_hmc_qu, "A4C.xlsx", b"no workbook"),
        ("tn3k", pictures.write_tn3k, "Thyroid Dataset/tn3k/tn3k-trainval-fold0.json", b"{"),
    ],
)
def test_an_error_while_planning_tells_what_of_the_layout_nobody_has_verified(
    name: str, write: Writer, table: str, content: bytes, tmp_path: Path
) -> None:
    write(tmp_path, SIZE)
    (tmp_path / table).write_bytes(content)
    source = _source(name)
    with pytest.raises(ValueError, match=Path(table).name) as caught:
        plan_tree(source, root=tmp_path)
    assert str(caught.value).endswith(source.card.doubts())
    assert (name == "hc18") == (not source.card.unverified)
