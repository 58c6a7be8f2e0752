"""Fixtures shared by every room's tests."""

import os
from pathlib import Path

import pytest

# As the launchers do, and before any test imports torch: waiting threads yield instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Give each of the processes that test beside each other one core."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch  # noqa: PLC0415 (not in the process that only hands out the tests)

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Return the folder of reference data beside the checkout, or skip the test that needs it."""
    folder = Path(os.environ.get("SAMUSPRETRAIN_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip(f"{folder} holds no reference data; SAMUSPRETRAIN_SHARED names its folder.")
    return folder
