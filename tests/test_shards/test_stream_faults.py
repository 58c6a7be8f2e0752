"""What goes wrong on the way from a store: the same samples in the same order, or a clear stop."""

import contextlib
import itertools
import logging
import shutil
import time
from collections import Counter

import pytest

from shards import ReadingConfig, open_corpus, sample_stream
from shards.read_report import ReadReport
from shards.sample_stream import MicroBatchSampler, SampleError, SampleStream, make_stream_loader
from tests.support.corpora import write_toy_corpus
from tests.support.fault_proxy import BROKEN_OFF, FAULTS, FaultProxy, FolderServer
from tests.support.stream_items import describe_sample, hang, keep_items
from tests.test_shards.test_stream_loader import plan_of

SLOW_FAULTS = ("stall", "drip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_toy_corpus(str(folder), num_samples=4, max_samples_per_shard=2)
    return folder


@pytest.fixture
def server(folder):
    with FolderServer(folder) as running:
        yield running


def open_patiently(url, *, request_seconds=10.0, deadline_seconds=60.0, cache=None):
    reading = ReadingConfig(
        request_seconds=request_seconds, deadline_seconds=deadline_seconds, cache=cache
    )
    return open_corpus(url, reading=reading)


def stream(corpus, *, num_samples=6, num_workers=0, **options) -> tuple[list, ReadReport]:
    loader = make_stream_loader(
        SampleStream([corpus], plan_of([corpus]), transform=describe_sample, **options),
        MicroBatchSampler(global_batch_size=1, micro_batch_size=1),
        num_workers=num_workers,
        collate=keep_items,
    )
    with contextlib.closing(iter(loader)) as batches:
        items = [item[:3] for batch in itertools.islice(batches, num_samples) for item in batch]
    return items, loader.take_report()


@pytest.fixture(scope="module")
def expected(folder):
    return stream(open_corpus(str(folder)))[0]


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW_FAULTS)) for kind in FAULTS],
)
def test_where_every_first_answer_is_spoilt_no_sample_changes(server, expected, kind):
    # The HTTP library itself asks once more where a connection that it had kept is gone.
    times = 2 if kind == "reset" else 1
    patience = {"request_seconds": 0.2} if kind in SLOW_FAULTS else {}
    with FaultProxy(server.url, kinds=[kind], most_in_a_row=times) as proxy:
        corpus = open_patiently(proxy.url, **patience)
        proxy.share = 1.0
        items, report = stream(corpus, num_samples=3)
    assert items == expected[:3]
    assert proxy.injected[kind] >= 3 * times
    assert report.counts["retries"] >= proxy.injected.total() / times
    if kind not in SLOW_FAULTS:  # a machine under load may be slow by itself
        assert report.counts["retries"] == proxy.injected.total() / times


@pytest.mark.parametrize(
    "kinds", [("unavailable", "truncated"), pytest.param(BROKEN_OFF, marks=pytest.mark.slow)]
)
def test_a_corpus_is_opened_through_faults(server, kinds):
    with FaultProxy(server.url, seed=1, share=0.9, kinds=kinds) as proxy:
        assert open_patiently(proxy.url, request_seconds=0.5).num_samples == 4
    assert len(proxy.injected) > len(kinds) / 2


def test_requests_made_again_to_open_a_corpus_are_counted_in_it_and_not_in_its_stream(server):
    with FaultProxy(server.url, share=1.0, kinds=["unavailable"], most_in_a_row=1) as proxy:
        corpus = open_patiently(proxy.url)
        opening = Counter(corpus.counts)
        # Manifest, list of files, and two shards; fsspec asks for the size of a file in two ways.
        assert opening == Counter(retries=4)
        assert proxy.injected["unavailable"] == 6
        _, report = stream(corpus, num_samples=1)
    assert report.counts["retries"] == 2
    assert corpus.select(licences=["CC0-1.0"]).counts == corpus.counts == opening


@pytest.mark.slow
def test_a_store_that_is_down_stops_the_run_after_the_deadline(server, caplog):
    with FaultProxy(server.url, kinds=["unavailable"], most_in_a_row=10**6) as proxy:
        corpus = open_patiently(proxy.url, request_seconds=2, deadline_seconds=2)
        proxy.share = 1.0
        start = time.monotonic()
        with pytest.raises(SampleError, match=r"toy-0000\d.tar.* the store does not answer as it"):
            stream(corpus)
    assert time.monotonic() - start < 10
    assert "attempt 2 failed after" in caplog.text
    assert "until 2 s are over" in caplog.text


def test_revoked_permission_stops_the_run_at_once(server):
    with FaultProxy(server.url) as proxy:
        corpus = open_patiently(proxy.url)
        proxy.refuses = True
        num_before = len(proxy.requests)
        with pytest.raises(SampleError, match=r"toy-.*access is refused.*may have been revoked"):
            stream(corpus)
    assert len(proxy.requests) == num_before + 1


def test_a_server_without_ranges_is_told_so(folder):
    with (
        FolderServer(folder, knows_ranges=False) as server,
        pytest.raises(SampleError, match=r"it knows no ranges. Serve the corpus with one that"),
    ):
        stream(open_patiently(server.url))


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_shards_to_come_are_fetched_ahead_and_the_order_stays(
    server, expected, tmp_path, num_workers
):
    cold = open_patiently(server.url, cache=str(tmp_path))
    items, _ = stream(cold, num_workers=num_workers)
    assert items == expected
    deadline = time.monotonic() + 10
    while len(list(tmp_path.glob("*.tar"))) < 2:
        assert time.monotonic() < deadline, "the shards were not fetched"
        time.sleep(0.01)
    num_before = len(server.requests)
    warm = open_patiently(server.url, cache=str(tmp_path))
    items, report = stream(warm, num_workers=num_workers)
    assert items == expected
    assert report.counts["cache_hits"] >= 6
    assert not [path for path, _ in server.requests[num_before:] if path.endswith(".tar")]


def test_a_batch_that_is_late_is_logged_before_anybody_gives_up(server, monkeypatch, caplog):
    monkeypatch.setattr(sample_stream, "LATE_SECONDS", 0.05)
    with FaultProxy(server.url, kinds=["stall"], most_in_a_row=1) as proxy:
        corpus = open_patiently(proxy.url, request_seconds=0.2)
        proxy.share = 1.0
        stream(corpus, num_samples=1)
    assert "Rank 0 has waited 0 s for a batch; after 300 s the run stops" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_a_worker_that_hangs_stops_the_run(folder, monkeypatch):
    monkeypatch.setattr(sample_stream, "LONGEST_BATCH_SECONDS", 1.0)
    corpus = open_corpus(str(folder))
    loader = make_stream_loader(
        SampleStream([corpus], plan_of([corpus]), transform=hang),
        MicroBatchSampler(global_batch_size=1, micro_batch_size=1),
        num_workers=1,
        collate=keep_items,
    )
    with (
        contextlib.closing(iter(loader)) as batches,
        pytest.raises(SampleError, match="Rank 0 got no batch for 1 s"),
    ):
        next(batches)


def copy_of(folder, *, to):
    shutil.copytree(folder, to)
    return to


def test_a_shard_removed_while_it_is_read_stops_the_run(folder, tmp_path):
    copy = copy_of(folder, to=tmp_path / "copy")
    corpus = open_corpus(str(copy))
    (copy / "toy-00001.tar").unlink()
    with pytest.raises(SampleError, match=r"toy-00001.tar: is gone, but manifest.json lists it"):
        stream(corpus)


@pytest.mark.parametrize("with_index", [False, True])
def test_a_shard_replaced_while_it_is_read_stops_the_run(folder, tmp_path, with_index):
    copy = copy_of(folder, to=tmp_path / "copy")
    write_toy_corpus(str(tmp_path / "other"), num_samples=2, max_samples_per_shard=1)
    corpus = open_corpus(str(copy))
    for name in ("toy-00000.tar", "toy-00000.index")[: 1 + with_index]:
        (tmp_path / "other" / name).replace(copy / name)
    what = r"index: has 48 bytes" if with_index else r"tar: sample \d.* was replaced. Copy it again"
    with pytest.raises(SampleError, match=rf"toy-00000.tar, .*toy-00000.{what}"):
        stream(corpus)


def test_a_shard_and_its_index_replaced_by_others_of_the_same_sizes_stop_the_run(folder, tmp_path):
    copy = copy_of(folder, to=tmp_path / "copy")
    corpus = open_corpus(str(copy))
    for ending in ("tar", "index"):
        own, other = copy / f"toy-00000.{ending}", folder / f"toy-00001.{ending}"
        assert own.stat().st_size == other.stat().st_size
        shutil.copy(other, own)
    message = r"toy-00000.index: its sha256 is not the manifest's: it is damaged, or was replaced"
    for replaces_broken in (False, True):
        with pytest.raises(SampleError, match=rf"shard toy-00000.tar, .*{message}"):
            stream(corpus, replaces_broken=replaces_broken)


POSITIONS = {"header": 200, "member": 700, "padding": 2_000, "end mark": -700}


@pytest.mark.parametrize("place", POSITIONS.values(), ids=POSITIONS)
def test_a_shard_cut_short_is_refused_or_stops_the_run_where_its_bytes_are_missed(
    folder, tmp_path, place
):
    copy = copy_of(folder, to=tmp_path / "copy")
    corpus = open_corpus(str(copy))
    path = copy / "toy-00000.tar"
    path.write_bytes(path.read_bytes()[:place])
    with pytest.raises(ValueError, match=r"toy-00000.tar: has \d+ bytes, manifest.json says"):
        open_corpus(str(copy))
    if place < 0:  # nobody reads the end mark
        assert stream(corpus)[0] == stream(open_corpus(str(folder)))[0]
    else:
        with pytest.raises(SampleError, match=r"shard toy-00000.tar, .*sample 0.*is damaged"):
            stream(corpus)


def test_a_shard_that_nobody_lists_changes_nothing(folder, tmp_path, expected):
    copy = copy_of(folder, to=tmp_path / "copy")
    shutil.copy(copy / "toy-00000.tar", copy / "toy-00009.tar")
    assert stream(open_corpus(str(copy)))[0] == expected


def test_the_manifest_of_another_build_is_refused(folder, tmp_path):
    copy = copy_of(folder, to=tmp_path / "copy")
    write_toy_corpus(str(tmp_path / "other"), num_samples=4, max_samples_per_shard=3)
    (tmp_path / "other" / "manifest.json").replace(copy / "manifest.json")
    with pytest.raises(ValueError, match=r"toy-0000\d.tar: has \d+ bytes, manifest.json says"):
        open_corpus(str(copy))


def test_one_retry_is_counted_and_not_worth_a_line(server, caplog):
    with (
        FaultProxy(server.url, kinds=["unavailable"], most_in_a_row=1) as proxy,
        caplog.at_level(logging.WARNING),
    ):
        corpus = open_patiently(proxy.url)
        proxy.share = 1.0
        _, report = stream(corpus, num_samples=1)
    assert report.counts["retries"] == 2
    assert caplog.text == ""
