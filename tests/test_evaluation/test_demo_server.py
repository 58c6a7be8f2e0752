"""What the demo's server answers, and to whom."""

import base64
import http.client
import io
import json
import threading
from contextlib import closing
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian

from evaluation import DemoServer, DeployablePredictor
from evaluation.demo import uploads
from evaluation.demo.images import MAX_IMAGES
from evaluation.demo.uploads import MAX_UPLOAD_BYTES
from tests.support.dicom_files import Clip, region, save_clip
from tests.support.running_demo import TwoHalves, disc_folder, running_demo


class GraphError(Exception):
    """As those of onnxruntime, which share no class but `Exception`."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return disc_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def server(folder):
    with running_demo(DeployablePredictor(folder, num_threads=1)) as started:
        yield started


def ask(server, method, path, *, body=b"", headers=()) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    with closing(connection):
        connection.request(method, path, body=body, headers=dict(headers))
        response = connection.getresponse()
        content = response.read()
    if response.headers["Content-Type"] == "application/json":
        content = json.loads(content)
    return response.status, content, response.headers


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (40, 60), dtype=np.uint8)


def opened(server, seed=0):
    status, content, _ = ask(server, "POST", "/image", body=png(noise(seed)))
    assert status == 200
    return content["token"]


def question(token, **prompt):
    return json.dumps({"token": token} | prompt).encode()


def test_an_image_is_opened_shown_and_asked_about(server, monkeypatch):
    segmenter = server.images.predictor.segmenter
    encoded, encode = [], segmenter.encode
    monkeypatch.setattr(segmenter, "encode", lambda one: encoded.append(1) or encode(one))
    status, content, _ = ask(server, "POST", "/image", body=png(noise()))
    assert (status, content["rows"], content["columns"], content["spacing"]) == (200, 40, 60, None)
    _, picture, _ = ask(server, "GET", f"/image/{content['token']}")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture))), noise())
    for x, y in [(20, 10), (30, 20), (40, 30)]:
        body = question(content["token"], points=[[x, y]], labels=[1])
        _, answer, _ = ask(server, "POST", "/answer", body=body)
        (found,) = answer["masks"]
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["png"])))) > 0
        assert mask.shape == (40, 60)
        rows, columns = mask.nonzero()
        assert (columns.mean(), rows.mean()) == (pytest.approx(x, abs=1), pytest.approx(y, abs=1))
        assert (found["num_pixels"], found["unit"]) == (mask.sum(), "px")
    assert len(encoded) == 1


def test_a_dicom_image_is_measured_in_millimetres(server, tmp_path):
    path = tmp_path / "still.dcm"
    save_clip(path, Clip(frames=[noise()], regions=[region(0, 0, 59, 39)]))
    _, content, _ = ask(server, "POST", "/image", body=path.read_bytes())
    assert content["spacing"] == pytest.approx([0.4, 0.2])
    body = question(content["token"], box=[10, 5, 40, 30])
    (found,) = ask(server, "POST", "/answer", body=body)[1]["masks"]
    assert (found["unit"], found["area"]) == ("mm", pytest.approx(found["num_pixels"] * 0.08))


def test_a_mask_that_reaches_out_of_the_ultrasound_region_is_measured_in_pixels(server, tmp_path):
    path = tmp_path / "still.dcm"
    save_clip(path, Clip(frames=[noise()], regions=[region(20, 0, 59, 39)]))
    token = ask(server, "POST", "/image", body=path.read_bytes())[1]["token"]
    units = []
    for x in (40, 22):  # the disc reaches 8 of 64 framed pixels to the left, that is 7.5
        body = question(token, points=[[x, 20]])
        (found,) = ask(server, "POST", "/answer", body=body)[1]["masks"]
        units.append((found["unit"], found["area"] == found["num_pixels"]))
    assert units == [("mm", False), ("px", True)]


def test_a_model_without_prompts_finds_everything(folder):
    with running_demo(TwoHalves(folder, num_threads=1)) as server:
        about = ask(server, "GET", "/model")[1]
        assert (about["is_automatic"], about["categories"]) == (True, ["left", "right"])
        found = ask(server, "POST", "/answer", body=question(opened(server)))[1]["masks"]
    assert [(one["name"], one["num_pixels"]) for one in found] == [("left", 1200), ("right", 1200)]


def test_the_image_that_was_not_used_for_longest_is_forgotten(server):
    tokens = [opened(server, seed) for seed in range(MAX_IMAGES)]
    assert ask(server, "GET", f"/image/{tokens[0]}")[0] == 200  # used: now the second is oldest
    opened(server, 99)
    statuses = [ask(server, "GET", f"/image/{token}")[0] for token in tokens]
    assert statuses == [200, 410, *[200] * (MAX_IMAGES - 2)]
    status, content, _ = ask(server, "POST", "/answer", body=question(tokens[1], box=[1, 1, 9, 9]))
    assert (status, content["error"]) == (410, "This image is no longer open. Open it again.")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example:80"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://other.example"},
        {"Origin": "null"},
    ],
)
def test_other_sites_are_refused(server, headers):
    for method, path in [("GET", "/"), ("GET", "/model"), ("POST", "/image")]:
        status, content, _ = ask(server, method, path, headers=headers)
        assert (status, content["error"]) == (403, f"This page is only served as {server.url}.")


def test_the_page_may_load_nothing_from_elsewhere(server):
    status, page, headers = ask(server, "GET", "/")
    assert status == 200
    assert b"Not a medical device" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for name in ["/", "/demo.js", "/demo.css"]:
        content = ask(server, "GET", name)[1]
        assert b"http://" not in content
        assert b"https://" not in content


@pytest.mark.parametrize("path", ["/../server.py", "/server.py", "/image", "/answer"])
def test_only_the_pages_own_files_are_served(server, path):
    assert ask(server, "GET", path)[0] == 404


def test_only_this_machine_is_listened_to(server):
    assert server.server_address[0] == "127.0.0.1"


def test_uploads_are_bounded_before_they_are_read_or_decoded(server, monkeypatch):
    headers = {"Content-Length": str(MAX_UPLOAD_BYTES + 1)}
    status, content, _ = ask(server, "POST", "/image", headers=headers)
    assert (status, "up to 64 MB are taken" in content["error"]) == (413, True)
    monkeypatch.setattr(uploads, "MAX_PIXELS", 1_000_000)
    status, content, _ = ask(server, "POST", "/image", body=png(np.zeros((2000, 3000), np.uint8)))
    assert (status, "3000 x 2000 pixels; the demo takes up to 1 million" in content["error"]) == (
        400,
        True,
    )


def animated():
    stream = io.BytesIO()
    frames = [Image.fromarray(noise(seed)) for seed in range(2)]
    frames[0].save(stream, format="PNG", save_all=True, append_images=frames[1:])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The file cannot be read as an image. PNG, JPEG"),
        (b"this is text", "The file cannot be read as an image. PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "cannot be read as an image"),
        (png(noise())[:900], "The file cannot be read as an image"),
        (png(np.zeros((1, 1), np.uint8)), "1 x 1 pixels"),
        (animated(), "holds 2 frames"),
        (b"\0" * 128 + b"DICM" + b"\1\2\3", "The file: cannot be read as DICOM"),
    ],
)
def test_a_bad_file_gets_one_message_and_no_path_of_this_machine(server, body, message):
    status, content, _ = ask(server, "POST", "/image", body=body)
    assert status == 400
    assert message in content["error"]
    assert "/tmp" not in content["error"]


@pytest.mark.parametrize("compression", ["jpeg", "rle"])
def test_a_compressed_frame_opens_unless_it_holds_more_than_its_header_says(
    server, tmp_path, compression
):
    path = tmp_path / "still.dcm"
    save_clip(path, Clip(frames=[noise()], compression=compression))
    assert ask(server, "POST", "/image", body=path.read_bytes())[0] == 200
    content = pydicom.dcmread(path)
    content.Rows, content.Columns = 10, 12
    content.save_as(path)
    status, answer, _ = ask(server, "POST", "/image", body=path.read_bytes())
    assert status == 400
    assert "does not hold the 12 x 10 pixels that the header states" in answer["error"]


def test_what_cannot_be_bounded_before_it_is_decoded_is_refused(server, tmp_path, monkeypatch):
    path = tmp_path / "still.dcm"
    save_clip(path, Clip(frames=[noise()], compression="jpeg"))
    content = pydicom.dcmread(path)
    content.PixelData = encapsulate([b"no picture at all"])
    content.save_as(path)
    answer = ask(server, "POST", "/image", body=path.read_bytes())[1]
    assert "its frame's size cannot be told" in answer["error"]
    save_clip(path, Clip(frames=[np.zeros((2000, 3000), np.uint8)]))
    content = pydicom.dcmread(path)
    content.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content.save_as(path)
    body = path.read_bytes()
    assert len(body) < 50_000  # 6 MB when it is inflated
    monkeypatch.setattr(uploads, "open_frame_file", None)  # would inflate it
    status, answer, _ = ask(server, "POST", "/image", body=body)
    assert status == 400
    assert "compressed as Deflated Explicit VR Little Endian" in answer["error"]


def test_a_clip_is_sent_to_the_command_line(server, tmp_path):
    save_clip(tmp_path / "clip.dcm", Clip(frames=[noise(), noise(1)]))
    body = (tmp_path / "clip.dcm").read_bytes()
    status, content, _ = ask(server, "POST", "/image", body=body)
    assert (status, "launchers/predict.py for clips" in content["error"]) == (400, True)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"points": [[60, 1]]}, "lies outside the image of 60 x 40 pixels"),
        ({}, "The prompt holds nothing"),
        ({"points": [[1, 1]], "labels": [7]}, "one label per point"),
        ({"points": "here"}, ""),
        ({"points": [["a", "b"]]}, ""),
        ({"box": [1, 2]}, ""),
        ({"box": 3}, ""),
    ],
)
def test_a_bad_prompt_is_refused_and_the_next_one_answered(server, prompt, message):
    token = opened(server)
    status, content, _ = ask(server, "POST", "/answer", body=question(token, **prompt))
    assert status == 400
    assert message in content["error"]
    body = question(token, points=[[30, 20]])
    assert ask(server, "POST", "/answer", body=body)[0] == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"{", b"\xff", b'{"point": 3}'])
def test_a_question_that_is_none_is_refused(server, body):
    assert ask(server, "POST", "/answer", body=body)[0] == 400


def test_questions_at_once_are_each_answered_about_their_own_image(server):
    answers = {}

    def work(seed):
        x = 10 + 10 * seed
        body = question(opened(server, seed), points=[[x, 20]])
        png_text = ask(server, "POST", "/answer", body=body)[1]["masks"][0]["png"]
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(png_text)))) > 0
        answers[x] = mask[20, x]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {10: True, 20: True, 30: True, 40: True}


def test_a_graph_that_fails_is_told_and_the_server_goes_on(server, monkeypatch, caplog):
    segmenter, token = server.images.predictor.segmenter, opened(server)

    def fail(*_, **__):
        raise GraphError("Got invalid dimensions for input: images")

    monkeypatch.setattr(segmenter, "decode", fail)
    status, content, _ = ask(server, "POST", "/answer", body=question(token, points=[[1, 1]]))
    assert (status, content["error"]) == (
        500,
        "The model failed: Got invalid dimensions for input: images",
    )
    assert "The model failed:" in caplog.text
    monkeypatch.undo()
    assert ask(server, "POST", "/answer", body=question(token, points=[[1, 1]]))[0] == 200


def test_a_port_that_is_taken_is_named(server):
    port = server.server_port
    with pytest.raises(OSError, match=f"port={port} cannot be used"):
        DemoServer(server.images.predictor, name="disc", port=port)
