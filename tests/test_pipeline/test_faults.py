"""Whatever happens to a run of two ranks, the same command ends it as if nothing had."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_injection import draw_fault
from tests.support.fault_run import FaultBench, final_state, open_bench, run_words, suffer

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def bench() -> Iterator[FaultBench]:
    with open_bench() as one:
        yield one


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return a folder that any user may enter: a fault takes a rank's rights away."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def undisturbed(place: Path, nano_corpora: Path, bench: FaultBench) -> Path:
    (place / "undisturbed").mkdir()
    words = run_words(nano_corpora, root=place / "undisturbed")
    exit_code, output = bench.run(place / "undisturbed" / "first", words=words)
    assert exit_code == 0, output
    assert "DDP over gloo" in output
    assert "ranks 0-1 on cpu" in output
    return place / "undisturbed" / "nano"


@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_a_fault_ended_goes_on_to_the_same_end(
    seed: int, place: Path, nano_corpora: Path, bench: FaultBench, undisturbed: Path
) -> None:
    folder = place / f"seed-{seed}"
    suffer(draw_fault(seed), folder=folder, corpora=nano_corpora, bench=bench)
    assert final_state(folder / "nano") == final_state(undisturbed)


@pytest.mark.long
def test_a_hundred_faults_and_the_table_of_them(
    place: Path,
    nano_corpora: Path,
    bench: FaultBench,
    undisturbed: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected, failures = final_state(undisturbed), []
    lines = ["| seed | fault | where | exit code | good checkpoint | outcome |", "|---" * 6 + "|"]
    for seed in range(100):
        fault, folder = draw_fault(seed), place / f"long-{seed}"
        try:
            found = suffer(fault, folder=folder, corpora=nano_corpora, bench=bench)
            assert final_state(folder / "nano") == expected, "another end"
            cells = [str(found.exit_code), str(found.saved_step or "none"), "the same end"]
        except AssertionError as error:
            failures.append(f"seed {seed}: {error}")
            cells = ["", "", "FAILED"]
        cells = [str(seed), fault.kind, fault.place, *cells]
        lines.append(f"| {' | '.join(cells)} |")
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))
    assert not failures, "\n".join(failures)
