"""The browser that pages are looked at in."""

import os
import shutil

import pytest


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; the dev extra brings it."
    )
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("There is no chromium on the path; apt-get install chromium brings one.")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=as_root)
        yield opened
        opened.close()
