import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def printed_by(module, *options):
    outcome = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


@pytest.mark.services
def test_the_loader_benchmark_prints_its_tables():
    options = ("num_subjects=3", "seconds_per_round=0.1", "num_rounds=1", "bucket=true")
    printed = printed_by("loader", *options)
    for words in ("as published", "webdataset, decoded", "masks/s", "MB/s", "batches, own"):
        assert words in printed
    assert "from SeaweedFS, by the clock" in printed
    assert "from SeaweedFS through a cache, by the clock" in printed


@pytest.mark.slow
def test_the_resume_benchmark_prints_its_tables():
    options = ("num_shards=[2,20]", "samples_per_shard=10", "num_planned_shards=50")
    printed = printed_by("loader_resume", *options)
    for words in ("peak memory", "2 shards, at the beginning", "20 shards, there, two workers"):
        assert words in printed
