from PIL import Image

from launchers.command_line import run_command
from launchers.inspect_shards import inspect
from shards import InspectConfig
from tests.support.corpora import build_phantom, write_toy_corpus


def run(*words):
    return run_command(InspectConfig, inspect, arguments=words)


def test_a_corpus_is_shown_as_tables_and_a_sheet(tmp_path, capsys):
    write_toy_corpus(f"{tmp_path}/corpus")
    sheet = tmp_path / "pictures" / "sheet.png"
    assert run(f"url={tmp_path}/corpus", f"sheet={sheet}", "num_columns=3") == 0
    shown = capsys.readouterr().out
    assert "6 images, 6 objects" in shown
    assert str(sheet) in shown
    with Image.open(sheet) as picture:
        assert picture.size[0] == 3 * 196 + 4


def test_a_build_is_shown_split_by_split(tmp_path, capsys):
    build_phantom(tmp_path / "out")
    assert run(f"url={tmp_path}/out", f"sheet={tmp_path}/sheet.png", "tile_pixels=64") == 0
    assert capsys.readouterr().out.count("content hash") == 3
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["sheet-test.png", "sheet-train.png", "sheet-validation.png"]


def test_a_sheet_that_is_no_png_is_refused(tmp_path, capsys):
    write_toy_corpus(f"{tmp_path}/corpus")
    assert run(f"url={tmp_path}/corpus", f"sheet={tmp_path}/sheet.txt") == 2
    assert "expected the name of a PNG file" in capsys.readouterr().err


def test_an_empty_place_is_one_clear_error(tmp_path, capsys):
    assert run(f"url={tmp_path}/nowhere") == 2
    assert "no corpus here" in capsys.readouterr().err
