import hashlib
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from evaluation import ImagePrompt, PredictConfig, SegmenterPredictor
from evaluation.deployable.predict import Prompt
from evaluation.segmentation.mask_files import draw_overlay
from launchers.command_line import run_command
from launchers.predict import predict
from model import load_segmenter
from tests.support.disc_deployable import write_disc_deployable
from tests.support.small_checkpoint import write_checkpoint


@pytest.fixture(scope="module")
def disc(tmp_path_factory):
    return write_disc_deployable(tmp_path_factory.mktemp("model") / "disc")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "scan.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(*words):
    return run_command(PredictConfig, predict, arguments=[str(word) for word in words])


def test_a_click_becomes_a_mask_and_an_overlay(disc, image, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(f"model={disc}", f"image={image}", "points=[[30,20]]", f"output={output}") == 0
    mask = np.asarray(Image.open(output / "scan_mask.png"))
    overlay = np.asarray(Image.open(output / "scan_overlay.png"))
    assert (mask.dtype, mask.shape, set(np.unique(mask))) == (np.uint8, (40, 60), {0, 255})
    assert mask[20, 30] == 255
    assert overlay.shape == (40, 60, 3)
    said = capsys.readouterr().out
    assert f"{(mask > 0).sum()} pixels" in said
    assert "scan_mask.png" in said
    assert "scan_overlay.png" in said


@pytest.mark.slow
def test_a_run_folder_answers_with_its_checkpoint(image, tmp_path, capsys):
    run_folder, output = tmp_path / "a_run", tmp_path / "out"
    checkpoint = write_checkpoint(run_folder / "checkpoints" / "step-00000010")
    words = [f"model={run_folder}", f"image={image}", "points=[[30,20]]", f"output={output}"]
    assert run(*words) == 0
    mask = np.asarray(Image.open(output / "scan_mask.png"))
    pixels = np.asarray(Image.open(image))
    prompt = ImagePrompt(points=((30.0, 20.0),), point_labels=(1,))
    (logits,) = SegmenterPredictor(load_segmenter(checkpoint)).predict([pixels], [[prompt]])
    assert ((mask > 0) == (logits[0] > 0)).all()
    assert f"{(mask > 0).sum()} pixels" in capsys.readouterr().out


def test_clicks_and_a_box_go_together(disc, image, tmp_path):
    words = ["points=[[30,20],[2,2]]", "labels=[1,0]", "box=[10,5,50,35]", f"output={tmp_path}"]
    assert run(f"model={disc}", f"image={image}", *words) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["image=nowhere.png", "points=[[1,1]]"], "there is no such image file"),
        (["points=[[60,20]]"], "(60, 20) lies outside the image of 60 x 40 pixels"),
        (["points=[[1,2,3]]"], "not a pair [x, y]"),
        (["points=[[1,2]]", "labels=[1,0]"], "one label per point"),
        (["box=[9,9,3,3]"], "x0 < x1"),
        ([], "The prompt holds nothing"),
        (["points=[[1,2]]", "model=nowhere"], "model=nowhere: there is no such folder"),
        (["points=[[1,2]]", "model=models:/a/1", "tracking_uri=sqlite:///none.db"], "none.db"),
        (
            ["points=[[1,2]]", "model=models:/a/1", "tracking_uri=http://127.0.0.1:1"],
            "no server answers there",
        ),
        (["point=[[1,2]]"], "Did you mean: 'points'"),
    ],
)
def test_a_mistake_gets_one_line(disc, image, tmp_path, capsys, words, message):
    defaults = [f"model={disc}", f"image={image}", f"output={tmp_path / 'out'}"]
    assert run(*defaults, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.glob("out/*"))


def test_an_output_that_cannot_be_written_is_refused_before_the_model_is_opened(image, capsys):
    output = image / "folder"
    words = [f"image={image}", "points=[[1,2]]", f"output={output}", "model=nowhere"]
    assert run(*words) == 2
    assert f"output={output}: nothing can be written there" in capsys.readouterr().err


def flip_a_byte(folder):
    content = bytearray((folder / "decoder.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "decoder.onnx").write_bytes(content)
    return folder


def lose_a_file(folder):
    (folder / "decoder.onnx").unlink()
    return folder


def name_one_file(folder):
    return folder / "encoder.onnx"


def newer_format(folder):
    return write_disc_deployable(folder.with_name("newer"), format_version=99)


def use_a_graph(folder, graph):
    """Put another graph into the place of the encoder, checksum and all."""
    shutil.copy(graph, folder / "encoder.onnx")
    checksums = json.loads((folder / "checksums.json").read_text())
    content = (folder / "encoder.onnx").read_bytes()
    checksums["files"]["encoder.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(checksums))
    return folder


def take_the_graph_of_another_model(folder):
    other = write_disc_deployable(folder.with_name("other"), num_channels=3)
    return use_a_graph(folder, other / "encoder.onnx")


def take_a_graph_that_is_not_ours(folder):
    return use_a_graph(folder, folder / "decoder.onnx")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (flip_a_byte, "decoder.onnx is damaged"),
        (lose_a_file, "decoder.onnx is missing"),
        (name_one_file, "encoder.onnx: there is no such folder"),
        (newer_format, "has format version 99"),
        (take_the_graph_of_another_model, "its graphs do not run"),
        (take_a_graph_that_is_not_ours, "Required inputs"),
    ],
)
def test_a_damaged_model_is_refused_in_one_line(image, tmp_path, capsys, spoil, message):
    folder = spoil(write_disc_deployable(tmp_path / "disc"))
    words = [f"model={folder}", f"image={image}", "points=[[1,2]]", f"output={tmp_path / 'out'}"]
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_an_answer_that_is_not_finite_gives_no_mask(image, tmp_path, capsys):
    folder = write_disc_deployable(tmp_path / "disc", radius=math.nan)
    words = [f"model={folder}", f"image={image}", "points=[[1,2]]", f"output={tmp_path / 'out'}"]
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert f"image={image}: 2400 of the 2400 logits that model={folder} answers with" in error
    assert not list(tmp_path.glob("out/*"))


def test_the_overlay_tints_the_mask_alone():
    pixels = np.full((30, 30), 100, dtype=np.uint8)
    mask = np.zeros((30, 30), dtype=bool)
    mask[5:15, 5:15] = True
    overlay = np.asarray(draw_overlay(pixels, mask, prompt=Prompt(points=[(25, 25)])))
    assert (overlay[10, 10] != 100).any()
    assert tuple(overlay[5, 5]) == (255, 200, 0)
    assert tuple(overlay[20, 5]) == (100, 100, 100)
    assert tuple(overlay[25, 25]) == (0, 255, 0)
