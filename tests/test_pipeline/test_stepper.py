"""What a step refuses at its start, as the user of a launcher reads it."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import launchers.pretrain
from model import Segmenter, build_segmenter
from pipeline import segmenter_setup
from tests.support.nano_run import nano_words


def with_forgotten_weights(preset: str, **overrides: Any) -> Segmenter:
    """Return a segmenter with trainable weights that its answers do not depend on."""
    segmenter = build_segmenter(preset, **overrides)
    for number in range(12):
        segmenter.register_parameter(f"forgotten_{number:02d}", nn.Parameter(torch.zeros(3)))
    return segmenter


def test_weights_that_get_no_gradient_are_one_line_and_exit_code_two(
    nano_corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(segmenter_setup, "build_segmenter", with_forgotten_weights)
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *nano_words(nano_corpora, root=tmp_path)])
    assert launchers.pretrain.main() == 2
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    listed = ", ".join(f"forgotten_{number:02d}" for number in range(10))
    assert f"are trainable but get no gradient: {listed} and 2 more. In every batch" in said
    assert not list((tmp_path / "nano" / "checkpoints").glob("step-*"))
