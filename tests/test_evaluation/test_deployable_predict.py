import json
import math
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.deployable.predict import (
    Prompt,
    Segmenter,
    check_prompt,
    frame_image,
    frame_logits,
    frame_points,
    framed_size,
    read_image,
    to_eight_bit,
    unframe_logits,
)
from model import Framing
from shards import read_image as read_image_for_shards
from tests.support.disc_deployable import INPUT_SIZE, write_disc_deployable

SIZES = [(471, 562), (64, 64), (30, 200), (200, 31), (8, 8), (300, 300)]


def preprocessing_of(fit, num_channels=3):
    return {"input_size": 64, "fit": fit, "num_channels": num_channels, "padding": None}


def noise(size, *, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


@pytest.fixture(scope="module")
def disc(tmp_path_factory):
    return write_disc_deployable(tmp_path_factory.mktemp("deployable") / "disc")


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [None, (0.1, 0.5, 0.9)])
def test_framing_is_that_of_the_model(fit, size, padding):
    pixels = noise((*size, 3))
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255.0
    expected = Framing(input_size=64, fit=fit, padding=padding).frame(image)
    found = frame_image(pixels, preprocessing_of(fit) | {"padding": padding})
    assert np.abs(found - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("size", SIZES)
def test_logits_come_back_as_the_model_brings_them_back(fit, size):
    logits = np.random.default_rng(1).normal(size=(1, 16, 16)).astype(np.float32)
    expected = Framing(input_size=64, fit=fit).unframe(torch.from_numpy(logits), original_size=size)
    found = unframe_logits(logits[0], size, preprocessing_of(fit))
    assert found.shape == size
    assert np.abs(found - expected[0].numpy()).max() < 1e-4


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_points_move_as_the_model_moves_them(fit):
    points = np.random.default_rng(2).uniform(0, 29, (5, 2)).astype(np.float32)
    framing = Framing(input_size=64, fit=fit)
    expected = framing.frame_points(torch.from_numpy(points), original_size=(30, 200))
    found = frame_points(points, (30, 200), preprocessing_of(fit))
    assert np.abs(found - expected.numpy()).max() < 1e-4


def test_a_grey_image_is_the_same_in_every_channel():
    framed = frame_image(noise((20, 30)), preprocessing_of("squash"))
    assert framed.shape == (3, 64, 64)
    assert (framed[0] == framed[1]).all()
    assert (framed[0] == framed[2]).all()


def test_a_disc_comes_out_where_the_point_is(disc):
    masks = Segmenter(disc).segment(noise((100, 200)), points=[(120, 40)])
    assert masks.dtype == np.bool_
    rows, columns = np.nonzero(masks[0])
    assert masks.shape == (1, 100, 200)
    assert (rows.mean(), columns.mean()) == pytest.approx((40, 120), abs=0.2)
    # A disc of 8 framed pixels, stretched to 100 / 64 rows and 200 / 64 columns.
    assert masks.sum() == pytest.approx(np.pi * 8**2 * (100 / 64) * (200 / 64), rel=0.03)


def test_an_answer_that_is_not_finite_is_no_empty_mask(tmp_path):
    segmenter = Segmenter(write_disc_deployable(tmp_path / "disc", radius=math.nan))
    with pytest.raises(ValueError, match=r"disc answers with NaN\. Export another checkpoint"):
        segmenter.segment(noise((100, 200)), points=[(120, 40)])


def test_a_letterboxed_disc_stays_round(tmp_path):
    folder = write_disc_deployable(tmp_path / "disc", fit="letterbox")
    mask = Segmenter(folder).segment(noise((100, 200)), points=[(120, 40)])[0]
    rows, columns = np.nonzero(mask)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=1)
    assert (rows.mean(), columns.mean()) == pytest.approx((40, 120), abs=0.2)


def test_prompts_answered_together_are_those_answered_alone(disc):
    segmenter, image = Segmenter(disc), noise((50, 60))
    prompts = [
        Prompt(points=[(20, 30)]),
        Prompt(points=[(40, 10), (5, 5), (6, 6)], labels=[1, 0, 0]),
        Prompt(box=(10, 10, 30, 40)),
    ]
    together = segmenter.logits(image, prompts=prompts)
    for prompt, logits in zip(prompts, together, strict=True):
        np.testing.assert_array_equal(segmenter.logits(image, prompts=[prompt])[0], logits)


@pytest.mark.parametrize(
    ("kinds", "prompt", "message"),
    [
        (["boxes"], {"points": [(20, 30)]}, "holds points, but this model is asked with boxes:"),
        (["points"], {"box": (1, 2, 30, 40)}, "holds boxes, but this model is asked with points:"),
        (
            ["boxes"],
            {"points": [(20, 30)], "box": (1, 2, 30, 40)},
            "holds points and boxes, but this model is asked with boxes:",
        ),
        (
            ["boxes"],
            {"box": (1, 2, 30, 40), "mask": np.zeros((50, 60))},
            "holds boxes and masks, but this model is asked with boxes:",
        ),
    ],
)
def test_a_prompt_that_the_model_was_not_trained_with_is_refused(tmp_path, kinds, prompt, message):
    segmenter = Segmenter(write_disc_deployable(tmp_path / "disc", prompt_kinds=kinds))
    with pytest.raises(ValueError, match=message):
        segmenter.masks(noise((50, 60)), prompts=[Prompt(**prompt)])


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((20, 30)),
        np.zeros((1, 20, 29)),
        np.zeros((20, 29), bool),
        np.ones((20, 29), int),
        np.full((20, 29), np.nan),
    ],
)
def test_a_mask_that_is_no_answer_about_the_image_is_refused(mask):
    prompt = Prompt(points=[(3, 3)], mask=mask)
    with pytest.raises(ValueError, match=r"; finite float \(20, 29\), as `logits`"):
        check_prompt(prompt, (20, 29), ["points", "boxes", "masks"])


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_an_earlier_answer_comes_back_to_the_decoder_where_it_left(fit):
    facts = {"input_size": 64, "mask_size": 16, "fit": fit}
    place = np.linspace(-1, 1, 16, dtype=np.float32)
    answer = 3 - 8 * (place[None] + 0.4) ** 2 - 6 * (place[:, None] + 0.5) ** 2
    for size in ((50, 120), (90, 90), (16, 16)):
        logits = unframe_logits(answer, size, facts)
        framed = frame_logits(logits, facts)
        rows, columns = (length // 4 for length in framed_size(size, facts))
        inside = (slice(1, rows - 1), slice(1, columns - 1))  # edges have one neighbour only
        np.testing.assert_allclose(framed[inside], answer[inside], atol=0.35)
        assert np.ptp(answer[inside]) > 5
        # Beyond the image there is nothing.
        assert (framed[rows + 1 :] < 0).all()
        assert (framed[:, columns + 1 :] < 0).all()


def test_prompts_become_labelled_points_and_box_corners():
    prompt = Prompt(points=[(1, 2), (3, 4)], labels=[1, 0], box=(5, 6, 7, 8))
    expected = [[1, 2, 1], [3, 4, 0], [5, 6, 2], [7, 8, 3]]
    np.testing.assert_array_equal(check_prompt(prompt, (20, 20)), expected)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(), "The prompt holds nothing"),
        (Prompt(points=[(30, 5)]), r"\(30, 5\) lies outside the image of 29 x 20"),
        (Prompt(points=[(3, -1)]), "lies outside"),
        (Prompt(points=[(3, float("nan"))]), "lies outside"),
        (Prompt(points=[(3, 3)], labels=[1, 1]), "one label per point"),
        (Prompt(points=[(3, 3)], labels=[2]), "1 for inside"),
        (Prompt(points=[(3, 3, 3)]), "must be pairs"),
        (Prompt(box=(5, 5, 5, 9)), "x0 < x1"),
        (Prompt(box=(5, 5, 99, 9)), "lies outside"),
        (Prompt(box=(5, 5, 9)), "four numbers"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(prompt, message):
    with pytest.raises(ValueError, match=message):
        check_prompt(prompt, (20, 29))


def write_png16(path, values):
    """Write 16-bit RGB, which Pillow cannot."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def save(path, picture, **options):
    picture.save(path, **options)
    return path


def pictures(folder):
    grey, colour = Image.fromarray(noise((20, 30))), Image.fromarray(noise((20, 30, 3)))
    deep = np.random.default_rng(3).integers(0, 4096, (20, 30)).astype(np.uint16)
    see_through = colour.copy()
    see_through.putalpha(Image.fromarray(noise((20, 30), seed=5)))
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        save(folder / "grey.png", grey),
        save(folder / "grey.jpg", grey),
        save(folder / "colour.png", colour),
        save(folder / "colour.jpg", colour),
        save(folder / "colour.tif", colour),
        save(folder / "deep.png", Image.fromarray(deep)),
        save(folder / "deep.tif", Image.fromarray(deep)),
        save(folder / "float.tif", Image.fromarray(deep.astype(np.float32) / 7)),
        save(folder / "constant.png", Image.fromarray(np.full((20, 30), 999, np.uint16))),
        save(folder / "palette.png", colour.quantize(16)),
        save(folder / "bits.png", grey.convert("1")),
        save(folder / "see_through.png", see_through),
        save(folder / "turned.jpg", colour, exif=exif),
    ]


def test_every_kind_of_picture_is_read_as_the_shards_read_it(tmp_path):
    for path in pictures(tmp_path):
        expected = read_image_for_shards(path).pixels
        found = read_image(path)
        if found.ndim != expected.ndim:  # grey colours: one channel there, three equal ones here
            expected = np.repeat(expected[..., None], 3, axis=2)
        np.testing.assert_array_equal(found, expected, err_msg=path.name)
        np.testing.assert_array_equal(read_image(str(path)), found)


def test_pictures_that_the_rules_do_not_cover_are_refused(tmp_path):
    frames = [Image.fromarray(noise((20, 30), seed=seed)) for seed in range(2)]
    animated = save(tmp_path / "two.tif", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="holds 2 frames"):
        read_image(animated)
    write_png16(tmp_path / "deep_colour.png", np.zeros((20, 30, 3)))
    with pytest.raises(ValueError, match="16-bit colours"):
        read_image(tmp_path / "deep_colour.png")
    with pytest.raises(ValueError, match="1 x 1 pixels; at least 8"):
        read_image(save(tmp_path / "one.png", Image.fromarray(noise((1, 1)))))
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"text\.png cannot be read as an image"):
        read_image(tmp_path / "text.png")
    whole = save(tmp_path / "whole.png", Image.fromarray(noise((200, 300)))).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read as an image"):
        read_image(tmp_path / "cut.png")
    with pytest.raises(FileNotFoundError, match="no such image file"):
        read_image(tmp_path / "nowhere.png")


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ValueError, match="too large"):
        read_image(save(tmp_path / "huge.png", Image.fromarray(noise((20, 30)))))


def test_arrays_are_mapped_from_their_percentile_window():
    values = np.linspace(-3.0, 5.0, 400).reshape(20, 20)
    mapped = to_eight_bit(values)
    low, high = np.percentile(values, (0.5, 99.5))
    assert (mapped[values <= low] == 0).all()
    assert (mapped[values >= high] == 255).all()
    middle = (values - low) / (high - low) * 255
    inside = (values > low) & (values < high)
    assert np.abs(mapped[inside] - middle[inside]).max() <= 0.5
    values[0, 0] = np.nan
    assert to_eight_bit(values)[0, 0] == 0
    np.testing.assert_array_equal(to_eight_bit(np.eye(8, dtype=bool)), np.eye(8) * 255)
    with pytest.raises(ValueError, match=r"shape \(2, 20, 20, 3\)"):
        to_eight_bit(np.zeros((2, 20, 20, 3)))


def test_the_folder_segments_by_itself_without_torch_or_this_repository(disc, tmp_path):
    Image.fromarray(noise((40, 50))).save(tmp_path / "image.png")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from predict import Segmenter\n"
        "segmenter = Segmenter(sys.argv[1])\n"
        "masks = segmenter.segment('image.png', points=[(20, 10)], labels=[1])\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'model', 'evaluation', 'shards', 'mlflow'}, loaded\n"
        "print(masks.shape, bool(masks[0, 10, 20]))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-P", "-c", script, str(disc)],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "(1, 40, 50) True\n", answer.stderr


def test_the_command_line_writes_a_mask(disc, tmp_path):
    Image.fromarray(noise((40, 50))).save(tmp_path / "image.png")

    def run(*words):
        command = [sys.executable, str(disc / "predict.py"), *words]
        return subprocess.run(
            command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False
        )

    answer = run("image.png", "--point", "20,10")
    assert answer.returncode == 0, answer.stderr
    mask = np.asarray(Image.open(tmp_path / "image_mask.png"))
    assert set(np.unique(mask)) == {0, 255}
    assert mask[10, 20] == 255
    refused = run("image.png", "--point", "99,10")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: (99, 10) lies outside")
    assert len(refused.stderr.splitlines()) == 1


def test_checksums_name_every_file(disc):
    named = json.loads((disc / "checksums.json").read_text())["files"]
    lying_there = {path.name for path in disc.iterdir() if path.is_file()}
    assert set(named) == lying_there - {"checksums.json"}
    assert json.loads((disc / "preprocessing.json").read_text())["input_size"] == INPUT_SIZE
