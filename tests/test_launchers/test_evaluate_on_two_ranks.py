"""Two gloo ranks measure what one process measures, bit for bit, and stop together."""

import json
from pathlib import Path

import pytest

from evaluation import read_records
from tests.support.disk_corpus import disk_sample, write_disk_corpus
from tests.support.nano_run import REPOSITORY, run_launcher
from tests.support.small_checkpoint import write_checkpoint

LAUNCHER = REPOSITORY / "launchers" / "evaluate_checkpoint.py"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    samples = [
        disk_sample(str(at), subject=f"s{at // 2}", shape=(40 + at, 48), num_disks=at % 3)
        for at in range(7)
    ]
    write_disk_corpus(tmp_path / "corpus", samples=samples)
    return tmp_path / "corpus"


@pytest.mark.distributed
def test_two_ranks_write_the_rows_of_one_bit_for_bit(tmp_path: Path, corpus: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model")
    words = [
        f"checkpoint={checkpoint}",
        f"data={corpus}",
        "protocols=[random_point,k_clicks]",
        "batch_size=2",
        "num_gallery_cases=0",
        "intervals.num_resamples=50",
    ]
    for num_processes in (1, 2):
        output = tmp_path / f"on-{num_processes}"
        code, said = run_launcher(
            [*words, f"output={output}"], num_processes=num_processes, launcher=LAUNCHER
        )
        assert code == 0, said
        assert ("DDP over gloo" in said) == (num_processes == 2)
        assert said.count("report.html") == 1
    first, second = (tmp_path / f"on-{number}" for number in (1, 2))
    assert (first / "records.parquet").read_bytes() == (second / "records.parquet").read_bytes()
    assert len(read_records(first / "records.parquet")) == 11 * 6
    one, other = (
        json.loads((folder / "summary.json").read_text())["summaries"] for folder in (first, second)
    )
    assert one == other


@pytest.mark.distributed
def test_ranks_that_cannot_go_on_stop_together_with_one_message(
    tmp_path: Path, corpus: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path / "broken", is_broken=True)
    words = [f"checkpoint={checkpoint}", f"data={corpus}", f"output={tmp_path / 'out'}"]
    code, said = run_launcher([*words, "batch_size=2"], num_processes=2, launcher=LAUNCHER)
    assert code != 0
    assert said.count("error: checkpoint=") == 1
    assert not (tmp_path / "out").exists()
