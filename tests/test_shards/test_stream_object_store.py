import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from webdataset.compat import WebDataset
from webdataset.gopen import gopen_schemes

from shards import BuildConfig, PhantomConfig, build_corpora, open_corpus
from tests.support.object_store import object_store

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.services,
    # webdataset leaves streams, and aiobotocore sessions, for the garbage collector to close.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

STREAM = """
import itertools, json, sys
from tests.test_shards.test_stream_loader import loader_of, take
from shards import open_corpus

if __name__ == "__main__":
    batches = take(loader_of([open_corpus(sys.argv[1])], num_workers=2, first_step=3), 20)
    print(json.dumps([item[:3] for batch in batches for item in batch]))
    print(len({item.process_id for batch in batches for item in batch}))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def store_environment(store, monkeypatch):
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)


def build(url):
    phantom = PhantomConfig(
        num_subjects=3, frames_per_subject=6, min_size_pixels=32, max_size_pixels=40
    )
    build_corpora(
        BuildConfig(source="phantom", output=str(url), max_samples_per_shard=2, phantom=phantom)
    )
    return f"{url}/train"


@pytest.fixture
def corpus_urls(tmp_path, store, store_environment):
    return build(tmp_path / "local"), build(store.url(tmp_path.name))


def stream_in_a_job(script, *, url):
    outcome = subprocess.run(
        [sys.executable, str(script), url],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert outcome.returncode == 0, outcome.stderr
    items, num_processes = outcome.stdout.splitlines()
    assert num_processes == "2"
    return json.loads(items)


def keys_read_by_webdataset(corpus):
    urls = [f"{corpus.url}/{shard.name}" for shard in corpus.manifest.shards]
    samples: Any = WebDataset(urls, shardshuffle=False)
    return [sample["__key__"] for sample in samples]


def test_a_corpus_in_a_bucket_streams_as_the_same_one_on_disk(corpus_urls, tmp_path, monkeypatch):
    on_disk, in_bucket = (open_corpus(url) for url in corpus_urls)
    assert in_bucket.url.startswith("s3://")
    assert in_bucket.manifest.content_hash == on_disk.manifest.content_hash

    script = tmp_path / "stream.py"
    script.write_text(STREAM)
    streamed = [stream_in_a_job(script, url=url) for url in corpus_urls]
    assert len(streamed[0]) == 40
    assert streamed[1] == streamed[0]


def test_plain_webdataset_reads_a_bucket_as_the_documentation_says(corpus_urls, monkeypatch):
    in_bucket = open_corpus(corpus_urls[1])
    page = (REPOSITORY / "docs" / "streaming.md").read_text()
    (advice,) = [one for one in re.findall(r"```python\n(.*?)```", page, re.S) if "gopen" in one]
    monkeypatch.setitem(gopen_schemes, "s3", None)
    exec(advice, {})
    expected = [in_bucket.read_flat(index).key for index in range(in_bucket.num_samples)]
    assert keys_read_by_webdataset(in_bucket) == expected
