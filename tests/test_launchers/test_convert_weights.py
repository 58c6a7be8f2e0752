"""The command that converts weights."""

import sys

import pytest
import torch

from launchers.convert_weights import main
from model import build_segmenter, write_flattened


def test_the_command_converts_and_says_what_it_made(tmp_path, monkeypatch, capsys):
    write_flattened(build_segmenter("sam_tiny"), tmp_path / "own", preset="sam_tiny")
    words = [f"source={tmp_path / 'own'}", f"output={tmp_path / 'sam.pth'}", "target=sam"]
    monkeypatch.setattr(sys, "argv", ["convert_weights.py", *words])
    assert main() == 0
    num_tensors = len(torch.load(tmp_path / "sam.pth", weights_only=True))
    said = capsys.readouterr().out
    assert f"sam_tiny from sam_tiny, a checkpoint, {num_tensors} tensors, 0 of the source" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["source=nowhere.pth", "output=out"], "nowhere.pth: no such file"),
        (["source=a.pth", "output=out", "target=onnx"], "target"),
        (["output=out"], "must be given: source"),
    ],
)
def test_what_it_cannot_do_is_one_line(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["convert_weights.py", *words])
    assert main() == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ")
