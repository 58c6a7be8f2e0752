import errno
import os
import resource
import threading
from collections import Counter, namedtuple

import numpy as np
import pytest
from filelock import FileLock

from shards import ReadingConfig, check_cache, open_corpus
from shards import shard_cache as shard_cache_module
from shards.shard_cache import GIBIBYTE, ShardCache
from shards.storage import Storage
from tests.support.corpora import make_sample, write_toy_corpus
from tests.support.fault_proxy import FolderServer


@pytest.fixture
def folder(tmp_path):
    write_toy_corpus(str(tmp_path / "corpus"), num_samples=6, max_samples_per_shard=2)
    return tmp_path / "corpus"


def cached(folder, *, cache, gibibytes=1.0, url=None):
    reading = ReadingConfig(cache=str(cache), cache_gibibytes=gibibytes)
    return open_corpus(url or str(folder), reading=reading)


def kept(cache):
    return {path.stem for path in cache.glob("*.tar")}


def read_all(corpus):
    for number in range(corpus.num_samples):
        assert np.array_equal(corpus.read_flat(number).image, make_sample(number).image)


def test_a_shard_taken_in_is_read_from_there_and_the_others_from_their_store(folder, tmp_path):
    corpus = cached(folder, cache=tmp_path / "cache")
    corpus.fetch(1)
    assert kept(tmp_path / "cache") == {corpus.manifest.shards[1].sha256}
    (folder / corpus.manifest.shards[1].name).unlink()
    read_all(corpus)
    assert corpus.counts == Counter(cached_shards=1, cache_hits=2, cache_misses=4)


def test_the_least_recently_used_shard_makes_room(folder, tmp_path):
    sizes = [shard.num_bytes for shard in open_corpus(str(folder)).manifest.shards]
    corpus = cached(folder, cache=tmp_path / "cache", gibibytes=sum(sorted(sizes)[1:]) / GIBIBYTE)
    names = [shard.sha256 for shard in corpus.manifest.shards]
    for shard, age in ((0, 200), (1, 100)):
        corpus.fetch(shard)
        then = (tmp_path / "cache" / f"{names[shard]}.tar").stat().st_mtime - age
        os.utime(tmp_path / "cache" / f"{names[shard]}.tar", (then, then))
    corpus.read(0, 0)  # the older one is used once more
    corpus.fetch(2)
    assert kept(tmp_path / "cache") == {names[0], names[2]}
    read_all(corpus)


def test_a_shard_that_is_not_the_manifests_is_never_kept(folder, tmp_path, caplog):
    corpus = cached(folder, cache=tmp_path / "cache")
    path = folder / corpus.manifest.shards[0].name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the end mark belongs to no sample
    path.write_bytes(content)
    for _ in range(2):
        corpus.fetch(0)
    assert not list((tmp_path / "cache").glob("*.[tp]ar*"))
    assert "toy-00000.tar, which is read from its store instead (its sha256" in caplog.text
    assert corpus.counts["cache_failures"] == 1
    read_all(corpus)


def test_a_shard_that_rots_in_the_cache_is_dropped_and_read_from_its_store(folder, tmp_path):
    corpus = cached(folder, cache=tmp_path / "cache")
    corpus.fetch(0)
    (path,) = (tmp_path / "cache").glob("*.tar")
    path.write_bytes(path.read_bytes()[:700])
    read_all(corpus)
    assert corpus.counts["cache_failures"] == 1
    assert not path.exists()


def test_a_full_disk_gives_up_old_shards_and_then_the_cache_and_no_sample(
    folder, tmp_path, monkeypatch, caplog
):
    corpus = cached(folder, cache=tmp_path / "cache")
    corpus.fetch(0)
    usage = namedtuple("usage", "free")(1_000)
    monkeypatch.setattr(shard_cache_module.shutil, "disk_usage", lambda folder: usage)
    corpus.fetch(1)
    assert kept(tmp_path / "cache") == set()
    assert "data.cache=" in caplog.text
    assert "Free the disk" in caplog.text
    read_all(corpus)


def test_a_disk_that_fills_midway_leaves_nothing_half(folder, tmp_path, caplog):
    corpus = cached(folder, cache=tmp_path / "cache")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        corpus.fetch(0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.strerror(errno.EFBIG) in caplog.text
    assert not list((tmp_path / "cache").glob("*.[tp]ar*"))
    read_all(corpus)


class SlowStorage(Storage):
    """Lets another one come in between, and counts."""

    def __init__(self, url):
        super().__init__(url)
        self.num_requests = 0

    def read_range(self, name, *, start, end):
        self.num_requests += 1
        threading.Event().wait(0.1)
        return super().read_range(name, start=start, end=end)


def test_two_that_want_one_shard_fetch_it_once(folder, tmp_path):
    entry = open_corpus(str(folder)).manifest.shards[0]
    counts: Counter[str] = Counter()
    storage = SlowStorage(str(folder))

    def fetch():
        # A cache object each: what they share is the folder, as two nodes do.
        ShardCache(str(tmp_path), max_bytes=GIBIBYTE, counts=counts).fetch(entry, storage=storage)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.num_requests == 1
    assert counts == Counter(cached_shards=1)


def test_a_dead_downloaders_leftovers_go_and_a_living_ones_stay(folder, tmp_path):
    room = open_corpus(str(folder)).manifest.shards[0].num_bytes + 10
    corpus = cached(folder, cache=tmp_path / "cache", gibibytes=room / GIBIBYTE)
    (tmp_path / "cache").mkdir()
    dead, alive = (tmp_path / "cache" / f"{name}.partial" for name in ("dead", "alive"))
    dead.write_bytes(bytes(8000))
    alive.write_bytes(bytes(10))
    with FileLock(alive.with_suffix(".lock")):
        corpus.fetch(0)
    assert not dead.exists()
    assert alive.exists()
    assert len(kept(tmp_path / "cache")) == 1


def test_a_shard_is_fetched_in_pieces(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_cache_module, "CHUNK_BYTES", 1_000)
    with FolderServer(folder) as server:
        corpus = cached(folder, cache=tmp_path / "cache", url=server.url)
        corpus.fetch(2)
        asked = [one for path, one in server.requests if path.endswith(".tar")]
    assert asked[:2] == ["bytes=0-999", "bytes=1000-1999"]
    assert len(kept(tmp_path / "cache")) == 1


def test_a_cache_too_small_for_two_blocks_is_refused(folder, tmp_path):
    manifests = [open_corpus(str(folder)).manifest]
    reading = ReadingConfig(cache=str(tmp_path / "cache"), cache_gibibytes=1e-6)
    with pytest.raises(ValueError, match=r"data.cache_gibibytes=1e-06: the shards of two blocks"):
        check_cache(reading, manifests=manifests, shards_per_block=1)
    reading = ReadingConfig(cache=str(folder / "manifest.json"))
    with pytest.raises(ValueError, match=r"data.cache=.*manifest.json is no folder to write to"):
        check_cache(reading, manifests=manifests, shards_per_block=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_gibibytes": 0.0}, "data.cache_gibibytes is 0.0: it must be positive"),
        ({"deadline_seconds": 600.0}, "data.deadline_seconds is 600.0: it must be at most 240"),
        ({"request_seconds": 200.0}, "data.request_seconds is 200.0: it must be at most"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ReadingConfig(**options)
