"""The browser that pages are looked at in, and empty registries."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """Make MLflow's tables once; it takes seconds."""
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(tmp_path, empty_database):
    """Return the address of a registry of the test's own, in `tmp_path`."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


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
