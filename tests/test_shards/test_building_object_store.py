"""Building into a bucket: nothing half written is seen, and calls go on from each other."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from shards import Storage, build_corpora, open_corpus, validate_corpus
from tests.support.building import heads
from tests.support.object_store import object_store

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with object_store(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(store, monkeypatch):
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)


def objects_below(url):
    """Return name -> size and time of all objects."""
    storage = Storage(url)
    found = storage.filesystem.find(storage.folder, detail=True)
    return {
        path.removeprefix(f"{storage.folder}/"): (fields["size"], fields["LastModified"])
        for path, fields in found.items()
    }


@pytest.mark.services
def test_a_killed_build_goes_on_and_its_bucket_is_as_a_disk(store, tmp_path):
    words = [
        "source=phantom",
        "phantom.num_subjects=3",
        "phantom.frames_per_subject=16",
        "max_samples_per_shard=4",
    ]
    program = [sys.executable, "launchers/build_shards.py", *words]
    url = store.url("killed")
    command = [*program, f"output={url}", "num_workers=2"]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(Storage(f"{url}/receipts").sizes()) < 3:
            time.sleep(0.05)
        process.kill()
    with pytest.raises(FileNotFoundError, match="no corpus here"):
        open_corpus(f"{url}/train")
    before = objects_below(url)
    receipts = [name for name in before if name.startswith("receipts/")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(receipts)} of 12 shards lie there already" in done.stderr
    after = objects_below(url)
    kept = [f"{Path(name).stem.replace('-phantom', '/phantom')}.tar" for name in receipts]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    subprocess.run([*program, f"output={tmp_path}/out"], cwd=REPOSITORY, check=True)
    on_disk = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert after.keys() == {str(path.relative_to(tmp_path / "out")) for path in on_disk}
    for path in on_disk:
        name = str(path.relative_to(tmp_path / "out"))
        assert Storage(url).read(name) == path.read_bytes(), name


@pytest.mark.services
def test_slices_of_several_machines_meet_in_a_bucket(store, tmp_path):
    tree = heads(tmp_path / "raw")
    expected = build_corpora(tree.config(tmp_path / "out", max_samples_per_shard=3))
    config = tree.config(tmp_path / "unused", max_samples_per_shard=3)
    config.output = store.url("slices")
    for number in (1, 0):
        config.slice = "merge/2"
        with pytest.raises(ValueError, match=r"slice=0/2 lacks 3"):
            build_corpora(config)
        config.slice = f"{number}/2"
        assert build_corpora(config) == {}
    config.slice = "merge/2"
    assert build_corpora(config) == expected
    assert validate_corpus(config.output) == []
