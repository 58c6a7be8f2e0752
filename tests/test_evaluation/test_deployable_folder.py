import json

import pytest

from evaluation.deployable.folder import (
    check_destination,
    is_deployable,
    new_deployable,
    opened_bytes,
    write_json,
)
from tests.support.disc_deployable import write_disc_deployable
from tests.support.unwritable import full_disk


def write_note(partial, text="new"):
    write_json(partial / "preprocessing.json", {"note": text})


def fail_half_way(folder):
    with new_deployable(folder, overwrite=True) as partial:
        write_note(partial)
        raise RuntimeError("the gate says no")


def test_a_failure_leaves_nothing_and_keeps_the_older_folder(tmp_path):
    folder = tmp_path / "model"
    with new_deployable(folder, overwrite=False) as partial:
        write_note(partial, "old")
    with pytest.raises(RuntimeError, match="the gate says no"):
        fail_half_way(folder)
    assert json.loads((folder / "preprocessing.json").read_text()) == {"note": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_appears_whole(tmp_path):
    folder = tmp_path / "made" / "model"
    with new_deployable(folder, overwrite=False) as partial:
        write_note(partial)
        assert not folder.exists()
    assert is_deployable(folder)
    names = {"checksums.json", "predict.py", "preprocessing.json", "requirements.txt"}
    assert {path.name for path in folder.iterdir()} == names


def test_a_deployable_is_replaced_only_when_asked(tmp_path):
    folder = write_disc_deployable(tmp_path / "model")
    with pytest.raises(FileExistsError, match="overwrite=true"):
        check_destination(folder, overwrite=False)
    with new_deployable(folder, overwrite=True) as partial:
        write_note(partial)
    assert not (folder / "encoder.onnx").exists()


def test_a_folder_of_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds other files"):
        check_destination(tmp_path, overwrite=True)


def test_a_place_that_cannot_hold_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="is not a folder that this user may write to"):
        check_destination(tmp_path / "file" / "model", overwrite=False)


def fill_the_disk(folder):
    with new_deployable(folder, overwrite=False) as partial, full_disk():
        write_note(partial)


def test_a_disk_that_fills_up_leaves_nothing_and_says_so(tmp_path):
    with pytest.raises(OSError, match=r"there is no room on the disk\. Make room"):
        fill_the_disk(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_that_of_the_graphs(tmp_path):
    folder = write_disc_deployable(tmp_path / "model")
    (folder / "decoder.onnx.data").write_bytes(b"weights")
    (folder / "decoder.int8.onnx").write_bytes(b"another form")
    graphs = {"encoder": "encoder.onnx", "decoder": "decoder.onnx"}
    opened = ("encoder.onnx", "decoder.onnx", "decoder.onnx.data")
    expected = sum((folder / name).stat().st_size for name in opened)
    assert opened_bytes(folder, graphs) == expected
