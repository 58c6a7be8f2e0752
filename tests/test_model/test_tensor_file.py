"""Files of weights that are cut short, empty, something else or hostile: each says what it is."""

import argparse
import collections
import logging
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model import build_segmenter, load_weights
from model.inert_unpickling import Inert
from model.tensor_file import read_tensors
from tests.support.small_sam import SAMUS_TINY, small_sam


@pytest.fixture(scope="module")
def sam_weights() -> dict[str, torch.Tensor]:
    return small_sam(SAMUS_TINY).state_dict()


@pytest.fixture
def sam_file(tmp_path, sam_weights) -> Path:
    path = tmp_path / "sam_tiny.pth"
    torch.save(sam_weights, path)
    return path


class TouchesFile:
    """Creates a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


class RunsCommand:
    """Starts a program as soon as it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return (os.system, (self.command,))


class Settings(dict[str, object]):
    """A dict of another library."""


class History:
    """What training frameworks leave in their files: arrays, functions, containers, settings."""

    def __init__(self) -> None:
        self.losses = torch.ones(2).numpy()
        self.readers = {"max": Path.exists}
        self.recent = collections.deque([1, 2])
        self.counts = collections.defaultdict(list, {"step": [1]})
        self.seen = {1, 2}
        self.settings = Settings(rate=1)


def with_pickle(source: Path, path: Path, content: bytes, *, extra: str | None = None) -> None:
    """Copy a file of torch with another pickle in it, and perhaps one more member."""
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(path, "w") as changed:
        for member in whole.namelist():
            is_pickle = member.endswith("data.pkl")
            changed.writestr(member, content if is_pickle else whole.read(member))
        if extra is not None:
            changed.writestr(whole.namelist()[0].split("/")[0] + "/" + extra, b"")


@pytest.mark.parametrize("form", ["torch", "wrapped", "old torch", "bare pickle"])
def test_a_pickle_with_code_among_the_weights_is_refused_and_its_code_does_not_run(
    form, tmp_path, sam_weights
):
    target, path = tmp_path / "ran", tmp_path / "evil.pth"
    content = {**sam_weights, "payload": TouchesFile(target)}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(content["payload"], protocol=2))
    elif form == "wrapped":
        torch.save({"model": content, "epoch": 1}, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(ValueError, match=r"evil\.pth: (holds more than|expected a dict of)"):
        load_weights(build_segmenter("samus_tiny"), path)
    assert not target.exists()
    pickle.loads(pickle.dumps(TouchesFile(target)))  # what the payload would have done
    assert target.exists()


def test_beside_the_weights_other_libraries_objects_are_inert_and_no_code_runs(
    tmp_path, sam_weights, caplog
):
    target, path = tmp_path / "ran", tmp_path / "with_objects.pth"
    linear = torch.nn.Linear(2, 2)
    content = {
        "state_dict": sam_weights,
        "meta": {"hook": RunsCommand(f"touch {target}"), "history": History()},
        "optimizer": torch.optim.Adam(linear.parameters()),
        "args": argparse.Namespace(lr=1),
    }
    torch.save(content, path)
    with caplog.at_level(logging.INFO):
        found = read_tensors(path)
    assert not target.exists()
    assert found.keys() == sam_weights.keys()
    assert all(value.equal(sam_weights[name]) for name, value in found.items())
    assert "nothing was made of" in caplog.text
    assert all(name in caplog.text for name in ("posix.system", "argparse.Namespace", "Adam"))
    pickle.loads(pickle.dumps(content["meta"]["hook"]))  # what the hook would have done
    assert target.exists()


def test_parameters_come_back_as_plain_tensors(tmp_path):
    path = tmp_path / "parameters.pth"
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    torch.save({"state_dict": {"a": weight}, "args": argparse.Namespace()}, path)
    found = read_tensors(path)["a"]
    assert (found.dtype, found.requires_grad) == (torch.float16, False)


def test_a_stand_in_takes_whatever_a_pickle_does_to_it():
    inert = Inert("any", 1)
    inert.append(1)
    inert.add(2)
    inert["key"] = 3
    assert inert("call") is inert
    inert.__setstate__({"lost": 4})
    assert vars(inert) == {}


def test_a_pickle_cannot_change_how_tensors_are_rebuilt(tmp_path, sam_file):
    path = tmp_path / "changes.pth"
    with_pickle(sam_file, path, b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.")
    with pytest.raises(ValueError, match=r"changes\.pth: not a file of tensors"):
        read_tensors(path)


def test_a_program_of_torchscript_is_not_started(tmp_path, sam_file):
    path = tmp_path / "program.pth"
    with_pickle(sam_file, path, pickle.dumps({}, protocol=2), extra="constants.pkl")
    with pytest.raises(ValueError, match=r"program\.pth: cannot be read as a PyTorch file"):
        read_tensors(path)


def test_an_old_file_with_objects_says_which_one_stands_in_the_way(tmp_path):
    path = tmp_path / "with_args.pth"
    content = {"model": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=1)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"names 'argparse\.Namespace'.*Save the state dict"):
        load_weights(build_segmenter("samus_tiny"), path)


@pytest.mark.parametrize("kept", [1, 100, 5_000, -10])
def test_a_truncated_pth_says_so(kept, sam_file):
    sam_file.write_bytes(sam_file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"sam_tiny\.pth: (cut short|not a file of|cannot be)"):
        load_weights(build_segmenter("samus_tiny"), sam_file)


@pytest.mark.parametrize("kept", [4, 100, 5_000, -10])
def test_a_truncated_safetensors_says_so(kept, tmp_path, sam_weights):
    path = tmp_path / "sam.safetensors"
    save_file(sam_weights, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"sam\.safetensors: not a whole safetensors file"):
        load_weights(build_segmenter("samus_tiny"), path)


def test_a_wrong_path_an_empty_file_and_a_web_page_each_say_what_they_are(tmp_path):
    segmenter = build_segmenter("samus_tiny")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth: no such file"):
        load_weights(segmenter, tmp_path / "nowhere.pth")
    empty = tmp_path / "empty.pth"
    empty.touch()
    with pytest.raises(ValueError, match=r"empty\.pth: the file is empty"):
        load_weights(segmenter, empty)
    note = tmp_path / "note.pth"
    note.write_text("https://example.org/weights.pth")
    with pytest.raises(ValueError, match=r"note\.pth: cannot be read as a PyTorch file"):
        load_weights(segmenter, note)
    page = tmp_path / "page.pth"
    page.write_text("<!DOCTYPE html><html>404</html>")
    with pytest.raises(ValueError, match=r"page\.pth: not a file of tensors, it starts with"):
        load_weights(segmenter, page)
    with pytest.raises(ValueError, match="neither a checkpoint"):
        load_weights(segmenter, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, expected named tensors"),
        ({}, "found 0 tensors and 0 other entries"),
        ({"weights": {"a": torch.ones(1)}}, "found 0 tensors and 1 other entries: weights"),
        ({"model": {"a": torch.ones(1), "b": 3}}, "found 1 tensors and 1 other entries: b"),
    ],
)
def test_content_that_is_no_state_dict_is_described(content, message, tmp_path):
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load_weights(build_segmenter("samus_tiny"), path)
