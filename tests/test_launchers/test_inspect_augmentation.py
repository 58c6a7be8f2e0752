"""`launchers/inspect_augmentation.py`: a picture of what each augmentation does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from launchers.command_line import run_command
from launchers.inspect_augmentation import inspect_augmentation
from pipeline.augmentation.config import InspectAugmentationConfig
from tests.support.disk_corpus import disk_sample, write_disk_corpus


def command(*words: str) -> int:
    return run_command(InspectAugmentationConfig, inspect_augmentation, arguments=words)


def test_the_sheet_has_a_row_an_augmentation_and_a_column_an_image(tmp_path: Path) -> None:
    write_disk_corpus(tmp_path / "corpus", samples=[disk_sample(name) for name in "01"])
    folder = tmp_path / "made"
    for count in (1, 2):
        words = ("input_size=32", f"num_pictures={count}", f"sheet={folder / f'{count}.png'}")
        assert command(f"url={tmp_path / 'corpus'}", *words) == 0
    one, two = (np.asarray(Image.open(folder / f"{count}.png")) for count in (1, 2))
    assert one.shape[0] == two.shape[0] >= 8 * 32
    assert two.shape[1] - one.shape[1] >= 32
    assert (one[:, :32] == two[:, :32]).all()
    assert two.std() > 0


def test_a_corpus_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("url=/nowhere", f"sheet={tmp_path / 'sheet.png'}") == 2
    assert "error: /nowhere: no corpus here" in capsys.readouterr().err
