"""What a user of the demo sees and does, in a real browser on a wide and on a narrow screen."""

import csv
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import DeployablePredictor
from evaluation.demo import server
from tests.support.dicom_files import Clip, region, save_clip
from tests.support.running_demo import TwoHalves, disc_folder, running_demo

pytestmark = pytest.mark.services

PIXEL = """([x, y]) => {
    const pen = document.getElementById("view").getContext("2d");
    return [...pen.getImageData(x, y, 1, 1).data];
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return disc_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def prompted(folder):
    with running_demo(DeployablePredictor(folder, num_threads=1)) as server:
        yield server


@pytest.fixture(scope="module")
def automatic(folder):
    with running_demo(TwoHalves(folder, num_threads=1)) as server:
        yield server


@pytest.fixture
def visit(browser):
    """Open a server's page; whatever went wrong in it or left this machine fails the test."""
    pages, complaints, requests = [], [], []

    def open_page(server, *, width=1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda made: requests.append(made.url))
        page.goto(server.url, wait_until="load")
        pages.append(page)
        return page

    yield open_page
    urls = tuple(page.url for page in pages)
    for page in pages:
        page.close()
    # Reading pixels back, which only these tests do, draws a hint about speed.
    assert [text for text in complaints if "willReadFrequently" not in text] == []
    assert [url for url in requests if not url.startswith((*urls, "data:"))] == []


@pytest.fixture
def scan(tmp_path):
    down, right = np.mgrid[:240, :320]
    grey = 60 + 25 * np.sin(right / 9) + np.random.default_rng(0).normal(0, 12, (240, 320))
    grey[((down - 120) / 60) ** 2 + ((right - 160) / 90) ** 2 < 1] += 90
    path = tmp_path / "scan.dcm"
    save_clip(
        path,
        Clip(frames=[grey.clip(0, 255).astype(np.uint8)], regions=[region(0, 0, 319, 239)]),
    )
    return path


def open_file(page, path):
    page.set_input_files("#file", path)
    page.locator("#view").wait_for(timeout=60_000)  # the first DICOM file imports its readers


def frame_of(page):
    box = page.locator("#view").bounding_box()
    assert box is not None
    return box


def click(page, x, y, **options):
    """Click a pixel of the image of 320 x 240."""
    box = frame_of(page)
    place = {"x": (x + 0.5) * box["width"] / 320, "y": (y + 0.5) * box["height"] / 240}
    page.locator("#view").click(position=place, **options)


def area(page):
    page.locator("#status", has_text="Answered").wait_for()
    return float(page.locator("#sizes td").nth(1).inner_text().replace(",", ""))


def colour_at(page, x, y):
    scale = page.evaluate("document.getElementById('view').width") / 320
    return page.evaluate(PIXEL, [(x + 0.5) * scale, (y + 0.5) * scale])[:3]


def download(page, button):
    with page.expect_download() as started:
        page.click(button)
    return started.value.suggested_filename, Path(started.value.path())


@pytest.mark.parametrize("width", [1280, 800])
def test_a_click_shows_its_mask_and_nothing_is_wider_than_the_screen(prompted, visit, scan, width):
    page = visit(prompted, width=width)
    assert page.get_by_text("Not a medical device").is_visible()
    open_file(page, scan)
    before = colour_at(page, 170, 125)
    click(page, 160, 120)
    assert area(page) == pytest.approx(np.pi * 40 * 30 * 0.08, rel=0.05)  # 8 of 64 framed pixels
    assert colour_at(page, 170, 125) != before
    assert "mm" in page.locator("#unit").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_file_that_is_chosen_before_the_model_is_known_waits_for_it(
    prompted, visit, scan, monkeypatch
):
    known, describe = threading.Event(), server.describe_model
    monkeypatch.setattr(server, "describe_model", lambda demo: known.wait(30) and describe(demo))
    page = visit(prompted)
    page.set_input_files("#file", scan)
    known.set()
    page.locator("#view").wait_for()


def test_opacity_undo_clear_tools_and_classes_do_what_they_say(prompted, visit, scan):
    page = visit(prompted)
    open_file(page, scan)
    plain = colour_at(page, 170, 125)
    click(page, 160, 120)
    area(page)
    page.fill("#opacity", "100")
    assert colour_at(page, 170, 125) == [255, 179, 71]
    page.select_option("#category", "nodule")
    assert page.locator("#sizes td").first.inner_text() == "nodule"
    assert colour_at(page, 170, 125) != [255, 179, 71]
    page.fill("#opacity", "0")
    assert colour_at(page, 170, 125) == plain

    page.keyboard.press("2")
    click(page, 20, 20)
    assert page.evaluate("events.map(one => one.label)") == [1, 0]
    click(page, 30, 20, modifiers=["Shift"])
    page.keyboard.press("1")
    click(page, 40, 20, button="right")
    click(page, 50, 20)
    assert page.evaluate("events.map(one => one.label)") == [1, 0, 0, 0, 1]
    page.keyboard.press("Control+z")
    assert page.evaluate("events.map(one => one.label)") == [1, 0, 0, 0]
    page.click("#undo")
    assert page.evaluate("events.length") == 3
    page.keyboard.press("Escape")
    assert page.evaluate("events.length") == 0
    assert not page.locator("#results").is_visible()


def test_a_box_is_dragged_and_the_mask_and_its_sizes_are_downloaded(prompted, visit, scan):
    page = visit(prompted)
    open_file(page, scan)
    page.select_option("#category", "thyroid")
    frame = frame_of(page)
    step = frame["width"] / 320
    page.mouse.move(frame["x"] + 80 * step, frame["y"] + 60 * step)
    page.mouse.down()
    page.mouse.move(frame["x"] + 200 * step, frame["y"] + 150 * step, steps=4)
    page.mouse.up()
    shown = area(page)
    box = page.evaluate("events[0].box")
    assert box == pytest.approx([79.5, 59.5, 199.5, 149.5], abs=1)
    name, path = download(page, "#save-mask")
    mask = np.asarray(Image.open(path))
    assert (name, mask.shape, set(np.unique(mask))) == (
        "scan_thyroid_mask.png",
        (240, 320),
        {0, 255},
    )
    name, path = download(page, "#save-sizes")
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert (name, row["name"], row["unit"]) == ("scan_measurements.csv", "thyroid", "mm")
    assert int(row["pixels"]) == (mask > 0).sum()
    assert float(row["area"]) == pytest.approx(shown, rel=1e-3)


def test_everything_is_found_unasked_and_shown_class_by_class(automatic, visit, scan):
    page = visit(automatic)
    open_file(page, scan)
    page.click("#find")
    area(page)
    assert page.locator("#sizes tr").count() == 2
    page.fill("#opacity", "100")
    left, right = colour_at(page, 40, 100), colour_at(page, 280, 100)
    assert left != right
    page.select_option("#category", "right")
    assert colour_at(page, 280, 100) == right
    assert colour_at(page, 40, 100) != left
    assert page.locator("#sizes tr").count() == 1


def test_a_file_that_is_no_image_gets_a_message_and_the_next_one_opens(browser, prompted, scan):
    page = browser.new_page()  # the browser itself complains about the refused request
    page.goto(prompted.url)
    scan.with_name("text.png").write_text("this is text")
    page.set_input_files("#file", scan.with_name("text.png"))
    page.locator("#status.wrong").wait_for()
    assert "cannot be read as an image" in page.locator("#status").inner_text()
    open_file(page, scan)
    page.close()
