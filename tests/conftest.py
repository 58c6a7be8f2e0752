"""Fixtures shared by every room's tests."""

import os
from pathlib import Path

import pytest

# As the launchers do, and before any test imports torch: waiting threads yield instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

REPOSITORY = Path(__file__).resolve().parent.parent

LONGEST_FIRST = (
    "test_pipeline/test_engines.py",
    "test_launchers/test_slurm_jobs.py",
    "test_model/test_export_contract.py",
    "test_launchers/test_pretrain.py",
    "test_evaluation/test_deployable_export.py",
    "test_pipeline/test_faults.py",
    "test_pipeline/test_node_health.py",
    "test_benchmarks.py",
    "test_launchers/test_compare_models.py",
    "test_model/test_segmenter_contract.py",
    "test_model/test_training_contract.py",
)
"""Files of minutes. Whichever process took one of them last would leave the others idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; the others keep their order."""
    place = {REPOSITORY / "tests" / file: number for number, file in enumerate(LONGEST_FIRST)}
    if gone := [str(file) for file in place if not file.is_file()]:
        raise pytest.UsageError(f"LONGEST_FIRST names files that are not there: {', '.join(gone)}")
    items.sort(key=lambda item: place.get(item.path, len(place)))


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
