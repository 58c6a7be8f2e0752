"""A deployable that is damaged, incomplete, of another time or for another machine: one message."""

import json
import re
import shutil

import numpy as np
import onnxruntime
import pytest

from evaluation.deployable.predict import Segmenter, verify_checksums
from tests.support.bright_deployable import write_bright_deployable
from tests.support.disc_deployable import write_disc_deployable

FILES = (
    "decoder.onnx",
    "encoder.onnx",
    "evaluation.json",
    "model_card.md",
    "predict.py",
    "preprocessing.json",
    "requirements.txt",
)
IMAGE = np.zeros((40, 50), dtype=np.uint8)


@pytest.fixture
def disc(tmp_path):
    return write_disc_deployable(tmp_path / "disc")


def flip(path, place, *, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def test_the_flipped_files_are_all_that_there_are(disc):
    assert {path.name for path in disc.iterdir()} == {*FILES, "checksums.json"}


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_of_any_file_is_found(disc, name):
    flip(disc / name, (disc / name).stat().st_size // 2)
    with pytest.raises(ValueError, match=rf"{re.escape(name)} is damaged or was changed"):
        Segmenter(disc)


def test_a_flipped_byte_of_the_checksums_is_found_wherever_it_lies(disc):
    path = disc / "checksums.json"
    whole = path.read_bytes()
    for place in range(whole.index(b'"files"'), len(whole) - 1, 5):  # the last one ends the line
        flip(path, place, bit=(1, 128)[place % 2])
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            verify_checksums(disc)
        assert str(disc) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        path.write_bytes(whole)


def test_checksums_without_their_key_are_named(disc):
    path = disc / "checksums.json"
    flip(path, path.read_bytes().index(b"files"))
    with pytest.raises(ValueError, match=r"checksums\.json must hold a JSON object with 'files'"):
        Segmenter(disc)


def test_a_missing_file_is_named(disc, tmp_path):
    (disc / "encoder.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"encoder\.onnx is missing"):
        Segmenter(disc)
    with pytest.raises(FileNotFoundError, match="no deployable folder"):
        Segmenter(tmp_path)


def test_a_graph_that_is_none_is_refused(disc):
    (disc / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"encoder\.onnx cannot be opened by onnxruntime"):
        Segmenter(disc, verify=False)


def test_a_graph_that_fails_when_it_runs_is_told_in_one_line_that_names_the_folder(disc, tmp_path):
    other = write_disc_deployable(tmp_path / "other", num_channels=3)
    shutil.copyfile(other / "encoder.onnx", disc / "encoder.onnx")
    segmenter = Segmenter(disc, verify=False)
    with pytest.raises(RuntimeError, match="its graphs do not run") as caught:
        segmenter.segment(IMAGE, points=[(3, 3)])
    assert str(caught.value).startswith(f"{disc}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_graph_without_prompts_that_fails_when_it_runs_is_told_as_well(tmp_path):
    folder = write_bright_deployable(tmp_path / "bright")
    found = Segmenter(folder).find(IMAGE)
    assert (found["masks"][1].all(), found["label_map"].min()) == (True, 2)
    described = json.loads((folder / "preprocessing.json").read_text())
    (folder / "preprocessing.json").write_text(json.dumps(described | {"input_size": 32}))
    with pytest.raises(RuntimeError, match="its graphs do not run"):
        Segmenter(folder, verify=False).find(IMAGE)


# onnxruntime itself warns before this is refused.
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_the_form_for_gpus_is_refused_where_there_is_none(tmp_path):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("There is a GPU.")
    graphs = {"encoder": "encoder.onnx", "decoder": "decoder.onnx"}
    forms = {"float32": graphs, "float16": graphs}
    folder = write_disc_deployable(tmp_path / "disc", graphs=forms)
    assert Segmenter(folder).segment(IMAGE, points=[(9, 9)]).any()
    with pytest.raises(ValueError, match="is for GPUs, and onnxruntime finds none"):
        Segmenter(folder, form="float16")


@pytest.mark.parametrize("version", [5, 2])
def test_other_format_versions_are_refused(tmp_path, version):
    folder = write_disc_deployable(tmp_path / "disc", format_version=version)
    with pytest.raises(ValueError, match=f"format version {version}; this predict.py reads 3 to 4"):
        Segmenter(folder)


def test_a_file_that_describes_something_else_is_refused(tmp_path):
    folder = write_disc_deployable(tmp_path / "disc", format="something else")
    with pytest.raises(ValueError, match="does not describe a samuspretrain-deployable"):
        Segmenter(folder)
