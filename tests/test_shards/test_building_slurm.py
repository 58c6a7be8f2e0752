"""The scripts of the guide, given to a real Slurm: slices on two nodes, then their merge."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shards import BuildConfig, PhantomConfig, build_corpora, validate_corpus
from tests.support.building import files_below
from tests.support.slurm_cluster import SlurmCluster, slurm_cluster
from tests.test_shards.test_building_parallel import REPOSITORY, slurm_scripts

PHANTOM = {"num_subjects": 4, "frames_per_subject": 3, "min_size_pixels": 48, "max_size_pixels": 64}


@pytest.fixture
def cluster():
    with slurm_cluster() as running:
        yield running
        running.end_all_jobs()


def scripts_for(output: Path) -> tuple[str, str]:
    """Return the guide's scripts with two slices of a small phantom on two nodes of one core."""
    options = [f"phantom.{name}={value}" for name, value in PHANTOM.items()]
    changes = {
        "source=us30k root=/data/US30K": " ".join(["source=phantom", *options]),
        "output=s3://bucket/us30k": f"output={output} max_samples_per_shard=2",
        "python launchers/": f"{sys.executable} {REPOSITORY}/launchers/",
    }
    of_slices, of_merge = slurm_scripts()
    for old, new in changes.items():
        assert old in of_slices
        assert old in of_merge
        of_slices, of_merge = of_slices.replace(old, new), of_merge.replace(old, new)
    for old, new in {"array=0-15": "array=0-1", "cpus-per-task=8": "cpus-per-task=1"}.items():
        assert f"#SBATCH --{old}\n" in of_slices
        of_slices = of_slices.replace(old, new)
    assert "slice=merge/16" in of_merge
    return of_slices, of_merge.replace("slice=merge/16", "slice=merge/2")


@pytest.mark.services
def test_slices_of_an_array_and_their_merge_are_what_one_process_builds(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    of_slices, of_merge = scripts_for(tmp_path / "out")
    (tmp_path / "build_slices.sh").write_text(of_slices)
    done = subprocess.run(
        ["bash", "-euc", of_merge],
        cwd=tmp_path,
        env=os.environ | cluster.environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    merge = done.stdout.split()[-1]
    cluster.wait_for(
        lambda: cluster.job(merge)["JobState"] in {"COMPLETED", "FAILED"}, what=f"merge {merge}"
    )
    said = {path.name: path.read_text() for path in sorted(tmp_path.glob("slurm-*.out"))}
    assert cluster.job(merge)["JobState"] == "COMPLETED", said
    assert len(said) == 3  # two slices and the merge
    phantom = PhantomConfig(**PHANTOM)
    alone = str(tmp_path / "alone")
    build_corpora(
        BuildConfig(source="phantom", output=alone, max_samples_per_shard=2, phantom=phantom)
    )
    assert files_below(tmp_path / "out") == files_below(alone)
    assert validate_corpus(str(tmp_path / "out")) == []
