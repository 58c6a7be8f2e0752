"""What a reader sees: the report, opened in a real browser on a wide and on a narrow screen."""

import pytest

from tests.support.disk_report import (
    write_automatic_report,
    write_disk_comparison,
    write_full_report,
)

pytestmark = pytest.mark.services

PAGES = {
    # What makes it, the page's file, its title, and how many tables, plots and pictures it shows.
    "full": (write_full_report, "report.html", "How well a<model> segments", (18, 20, 48)),
    "automatic": (write_automatic_report, "report.html", "How well a<model> segments", (4, 4, 4)),
    "comparison": (write_disk_comparison, "comparison.html", "3 models side by side", (2, 6, 0)),
}

TOO_WIDE = """
elements => elements.filter(element => element.getBoundingClientRect().right > innerWidth + 1)
    .map(element => element.outerHTML.slice(0, 80))
"""
NOT_DRAWN = """
images => images.filter(image => !image.complete || image.naturalWidth === 0)
    .map(image => image.alt)
"""


@pytest.fixture(scope="module", params=sorted(PAGES))
def report(tmp_path_factory, request):
    write, name, title, counts = PAGES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    write(folder)
    return folder / "out" / name, title, counts


@pytest.fixture(params=[1280, 400])
def page(browser, report, request):
    """The report on a screen of that width, and what went wrong in it or left the file."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda made: page.requests.append(made.url))
    page.goto(report[0].as_uri(), wait_until="load")
    yield page
    page.close()


def test_the_report_opens_without_complaints_and_asks_for_nothing_else(page, report):
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [report[0].as_uri()]
    assert page.title() == report[1]


def test_nothing_is_wider_than_the_screen(page):
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("body > *, main > *, .card, .tile").evaluate_all(TOO_WIDE) == []


def test_tables_figures_and_pictures_are_there_to_be_seen(page, report):
    sizes = {
        kind: [place.bounding_box() for place in page.locator(kind).all()]
        for kind in ("table", "svg", "figure img")
    }
    assert tuple(len(found) for found in sizes.values()) == report[2]
    for found in sizes.values():
        assert all(box is not None and min(box["width"], box["height"]) > 40 for box in found)
    assert page.locator("figure img").evaluate_all(NOT_DRAWN) == []
    assert page.get_by_text("Not a medical device").first.is_visible()


def test_what_is_written_is_large_enough_to_read(page):
    small = page.locator("td, th, p, li, dd, figcaption, .tile span, svg text").evaluate_all(
        """elements => elements.map(element => {
            const svg = element.closest("svg");
            const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
            return parseFloat(getComputedStyle(element).fontSize) * scale;
        }).filter(pixels => pixels < 9)"""
    )
    assert small == []
