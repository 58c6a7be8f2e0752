import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_loader_benchmark_prints_its_tables():
    options = ["num_subjects=3", "seconds_per_round=0.2", "num_rounds=1", "num_shards=20"]
    outcome = subprocess.run(
        [sys.executable, "-m", "benchmarks.loader", *options, "samples_per_shard=10"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    for words in ("as published", "webdataset, decoded", "masks/s", "with two workers"):
        assert words in outcome.stdout
