"""The stream's guarantee on a real S3 server behind faults, with a cache, after a kill."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from shards import ReadingConfig, open_corpus
from shards.sample_stream import SampleError
from tests.support.corpora import write_toy_corpus
from tests.support.fault_proxy import FAULTS, FaultProxy
from tests.support.object_store import object_store
from tests.test_shards.test_stream_faults import open_patiently, stream
from tests.test_shards.test_stream_loader import loader_of, take, wait_until_gone

REPOSITORY = Path(__file__).resolve().parents[2]
NUM_STEPS = 14

pytestmark = [
    pytest.mark.services,
    # aiobotocore leaves sessions for the garbage collector to close.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def bucket(store, monkeypatch, tmp_path):
    """Give the URL of a corpus in a bucket; `AWS_ENDPOINT_URL` is the server's own."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    write_toy_corpus(store.url(tmp_path.name), num_samples=20, max_samples_per_shard=4)
    return store.url(tmp_path.name)


def start_job(url, *, endpoint, cache, num_workers=2, num_batches=2 * NUM_STEPS, **sampling):
    reading = {"cache": str(cache), "request_seconds": 1.0, "deadline_seconds": 60.0}
    words = {"url": url, "reading": reading, "num_workers": num_workers, "num_batches": num_batches}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.stream_job", json.dumps(words | sampling)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"AWS_ENDPOINT_URL": endpoint, "PYTHONPATH": str(REPOSITORY)},
    )


def finish(job):
    output, _ = job.communicate(timeout=240)
    assert job.returncode == 0
    *batches, counts = [json.loads(line) for line in output.splitlines()]
    return batches, Counter(counts)


def children_of(process_id):
    return [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.read_text().rsplit(") ", 1)[1].split()[1] == str(process_id)
    ]


def test_the_stream_is_that_of_a_disk_through_faults_a_kill_and_another_number_of_ranks(
    store, bucket, tmp_path
):
    write_toy_corpus(str(tmp_path / "disk"), num_samples=20, max_samples_per_shard=4)
    on_disk = take(loader_of([open_corpus(str(tmp_path / "disk"))]), 2 * NUM_STEPS)
    expected = [[list(item[:3]) for item in batch] for batch in on_disk]
    cache = tmp_path / "cache"

    with FaultProxy(
        store.endpoint_url, seed=3, share=0.4, kinds=FAULTS, stall_seconds=5.0
    ) as proxy:
        job = start_job(bucket, endpoint=proxy.url, cache=cache)
        assert job.stdout is not None
        lines = [json.loads(job.stdout.readline()) for _ in range(6)]
        workers = [one for child in children_of(job.pid) for one in children_of(child)]
        job.kill()
        job.communicate()
        wait_until_gone(workers)
        assert lines == expected[:6]

        # Two ranks, as two nodes with one folder, go on behind the last whole step.
        ranks = [
            start_job(
                bucket,
                endpoint=proxy.url,
                cache=cache,
                num_workers=1 + rank,
                num_batches=NUM_STEPS - 3,
                rank=rank,
                num_ranks=2,
                first_step=3,
            )
            for rank in range(2)
        ]
        # Which of their requests meet a fault depends on what the first one left in the cache.
        (first, _), (second, _) = map(finish, ranks)
        assert [batch for both in zip(first, second, strict=True) for batch in both] == expected[6:]
        assert len(proxy.injected) >= 4
        assert list(cache.glob("*.tar"))

        here = ReadingConfig(cache=str(cache))
        for shard in range(5):  # what the ranks may have left
            open_corpus(str(tmp_path / "disk"), reading=here).fetch(shard)
        num_before = len(proxy.requests)
        warm, counts = finish(start_job(bucket, endpoint=proxy.url, cache=cache, num_workers=3))
        assert warm == expected
        shards_asked_for = [path for path, _ in proxy.requests[num_before:] if ".tar" in path]
        assert shards_asked_for == []
        assert counts["cache_hits"] >= 4 * NUM_STEPS
    assert len(list(cache.glob("*.tar"))) == 5
    assert not list(cache.glob("*.partial"))


def test_revoked_keys_and_a_vanished_bucket_stop_the_run(store, bucket, monkeypatch):
    import s3fs  # noqa: PLC0415 -- half a second

    with FaultProxy(store.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        corpus = open_patiently(bucket, request_seconds=5.0)
        proxy.refuses = True
        with pytest.raises(SampleError, match=r"toy-.*access is refused \(The access key does not"):
            stream(corpus)
        proxy.refuses = False
        corpus.read(0, 0)  # its index is known
        s3fs.S3FileSystem(endpoint_url=store.endpoint_url).rm(bucket, recursive=True)
        with pytest.raises(FileNotFoundError, match=r"toy-00000.tar: is gone, but manifest.json"):
            corpus.read(0, 1)


def test_a_store_that_falls_silent_is_given_up_in_time(store, bucket, monkeypatch, caplog):
    with FaultProxy(store.endpoint_url, kinds=["stall"], most_in_a_row=10**6) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        corpus = open_patiently(bucket, request_seconds=0.5, deadline_seconds=6.0)
        proxy.share = 1.0
        start = time.monotonic()
        with pytest.raises(SampleError, match=r"shard toy-.*the store does not answer as it"):
            stream(corpus)
        assert time.monotonic() - start < 20
    assert "it is made again until 6 s are over" in caplog.text
