import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from shards import (
    BuildConfig,
    PhantomConfig,
    StreamPlan,
    StreamSource,
    build_corpora,
    open_corpus,
    sample_members,
)
from shards.sample_stream import MicroBatchSampler, SampleError, SampleStream, make_stream_loader
from tests.support.stream_items import StreamItem, describe_sample, keep_items, refuse_sample

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def build_phantom(folder, *, seed, frames_per_subject=5):
    phantom = PhantomConfig(
        num_subjects=3,
        frames_per_subject=frames_per_subject,
        min_size_pixels=32,
        max_size_pixels=40,
        seed=seed,
    )
    build_corpora(
        BuildConfig(source="phantom", output=str(folder), max_samples_per_shard=3, phantom=phantom)
    )
    return open_corpus(f"{folder}/train")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    return [build_phantom(folder / str(seed), seed=seed) for seed in (0, 1)]


def plan_of(corpora, *, weights=(1, 1)):
    sources = [
        StreamSource(
            content_hash=corpus.manifest.content_hash,
            weight=weight,
            samples_per_shard=corpus.samples_per_shard,
        )
        for corpus, weight in zip(corpora, weights, strict=False)
    ]
    return StreamPlan(sources, seed=3, shards_per_block=2)


def loader_of(corpora, *, transform=describe_sample, num_workers=0, weights=(1, 1), **sampling):
    plan = plan_of(corpora, weights=weights)
    stream = SampleStream(corpora, plan, transform=transform)
    return make_stream_loader(
        stream,
        MicroBatchSampler(**({"global_batch_size": 4, "micro_batch_size": 2} | sampling)),
        num_workers=num_workers,
        collate=keep_items,
    )


def take(loader, num_batches) -> list[list[StreamItem]]:
    with contextlib.closing(iter(loader)) as batches:
        return list(itertools.islice(batches, num_batches))


def contents(batches):
    return [[item[:3] for item in batch] for batch in batches]


def is_alive(process_id):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return ") Z " not in Path(f"/proc/{process_id}/stat").read_text()
    return False


def wait_until_gone(process_ids, *, seconds=20.0):
    deadline = time.monotonic() + seconds
    while any(map(is_alive, process_ids)):
        assert time.monotonic() < deadline, f"{process_ids} go on without their parent"
        time.sleep(0.05)


@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_the_order_is_the_plans_for_any_number_of_workers(corpora, num_workers):
    plan = plan_of(corpora)
    batches = take(loader_of(corpora, num_workers=num_workers), 12)
    assert [len(batch) for batch in batches] == [2] * 12
    for position, item in enumerate(itertools.chain.from_iterable(batches)):
        source, shard, place = plan.address(position)
        sample = corpora[source].read(shard, place)
        assert item[:3] == (position, sample.key, int(sample.image.sum()))
    readers = {item.process_id for batch in batches for item in batch}
    assert len(readers) == max(num_workers, 1)
    assert (os.getpid() in readers) == (num_workers == 0)


@pytest.mark.parametrize("weights", [(1, 1), (2, 0.5)])
def test_an_epoch_through_the_loader_shows_each_sample_by_its_weight(corpora, weights):
    end_of_second_epoch = plan_of(corpora, weights=weights).start_of_epoch(2)
    loader = loader_of(corpora, weights=weights, global_batch_size=1, micro_batch_size=1)
    keys = Counter(item.key for batch in take(loader, end_of_second_epoch) for item in batch)
    expected = Counter()
    for corpus, weight in zip(corpora, weights, strict=True):
        for index in range(corpus.num_samples):
            expected[corpus.read_flat(index).key] += int(2 * weight)
    assert keys == expected


@pytest.mark.parametrize(
    ("num_ranks", "micro_batch_size", "num_workers"), [(1, 12, 0), (2, 3, 2), (3, 2, 0), (4, 1, 1)]
)
def test_a_step_holds_the_same_samples_for_any_ranks_workers_and_accumulation(
    corpora, num_ranks, micro_batch_size, num_workers
):
    whole = loader_of(corpora, global_batch_size=12, micro_batch_size=12)
    expected = [sorted(step) for step in contents(take(whole, 3))]
    steps = [[], [], []]
    for rank in range(num_ranks):
        loader = loader_of(
            corpora,
            global_batch_size=12,
            micro_batch_size=micro_batch_size,
            rank=rank,
            num_ranks=num_ranks,
            num_workers=num_workers,
        )
        per_step = 12 // num_ranks // micro_batch_size
        for place, batch in enumerate(contents(take(loader, 3 * per_step))):
            steps[place // per_step] += batch
    assert [sorted(step) for step in steps] == expected


@pytest.mark.parametrize("first_step", [1, 4, 1_000_000])
def test_resuming_at_a_step_equals_going_on(corpora, first_step):
    start = max(first_step - 4, 0)
    uninterrupted = contents(take(loader_of(corpora, first_step=start), 14))
    resumed = contents(take(loader_of(corpora, first_step=first_step, num_workers=2), 6))
    assert resumed == uninterrupted[2 * (first_step - start) :][:6]


def test_a_batch_may_be_larger_than_the_corpus(corpora):
    small = [corpora[0]]
    size = 3 * small[0].num_samples
    (batch,) = take(loader_of(small, global_batch_size=size, micro_batch_size=size), 1)
    assert set(Counter(item.key for item in batch).values()) == {3}


def test_an_image_is_decoded_once_however_many_objects_it_has(corpora, monkeypatch):
    decoded = []
    decode = sample_members.decode_image

    def count(*arguments, **options):
        decoded.append(1)
        return decode(*arguments, **options)

    monkeypatch.setattr(sample_members, "decode_image", count)
    take(loader_of(corpora), 6)
    assert len(decoded) == 12


def test_making_and_reading_a_loader_draws_no_global_random_number(corpora):
    before = torch.random.get_rng_state()
    take(loader_of(corpora), 2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_accelerate_has_nothing_to_share_out_once_more(corpora):
    assert not isinstance(loader_of(corpora), DataLoader)


def test_an_iterator_dropped_midway_leaves_no_worker(corpora):
    batches = iter(loader_of(corpora, num_workers=2))
    workers = {item.process_id for _ in range(4) for item in next(batches)}
    assert all(map(is_alive, workers))
    del batches
    wait_until_gone(workers)


def test_a_failing_transform_is_told_with_shard_and_key(corpora):
    with pytest.raises(SampleError, match=r"train, shard .*\.tar, phantom__subject.*KeyError: 0$"):
        take(loader_of(corpora, transform=refuse_sample), 1)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_sample_is_told_in_its_turn(tmp_path, num_workers):
    corpus = build_phantom(tmp_path, seed=5, frames_per_subject=2)
    shard, place = corpus.address(corpus.num_samples - 1)
    key = corpus.read(shard, place).key
    path = tmp_path / "train" / corpus.manifest.shards[shard].name
    content = bytearray(path.read_bytes())
    name_in_tar = content.rfind(key.encode())
    content[name_in_tar + 512] ^= 0xFF  # the member's first byte follows its header
    path.write_bytes(content)

    plan = plan_of([corpus])
    turn = next(p for p in range(100) if plan.address(p) == (0, shard, place))
    loader = loader_of([corpus], num_workers=num_workers, global_batch_size=1, micro_batch_size=1)
    taken = []
    with (
        contextlib.closing(iter(loader)) as batches,
        pytest.raises(SampleError) as caught,
    ):
        taken += batches
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert key in message
    assert len(taken) == turn
    assert "Traceback" in caught.value.__notes__[0]
    readers = {item.process_id for batch in taken for item in batch}
    wait_until_gone(readers - {os.getpid()})  # though the error is still at hand


JOB = """
import itertools, os, sys, time
from tests.test_shards.test_stream_loader import loader_of
from shards import open_corpus

if __name__ == "__main__":
    batches = iter(loader_of([open_corpus(sys.argv[1])], num_workers=2))
    readers = {item.process_id for batch in itertools.islice(batches, 8) for item in batch}
    print(*readers, flush=True)
    sys.stdin.readline()
    print(len(list(itertools.islice(batches, 200))), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def job(tmp_path, corpora):
    script = tmp_path / "job.py"
    script.write_text(JOB)
    with subprocess.Popen(
        [sys.executable, str(script), corpora[0].url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    ) as process:
        yield process
        process.kill()


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(job):
    workers = [int(word) for word in job.stdout.readline().split()]
    assert all(map(is_alive, workers))
    job.kill()
    job.wait(timeout=10)
    wait_until_gone(workers)


@pytest.mark.slow
def test_workers_serve_on_when_a_preempted_jobs_signals_reach_them(job):
    workers = [int(word) for word in job.stdout.readline().split()]
    servers = {
        int(Path(f"/proc/{one}/stat").read_text().split(") ")[1].split()[1]) for one in workers
    }
    assert job.pid not in servers
    for one, number in itertools.product(
        [*workers, *servers], [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT]
    ):
        os.kill(one, number)
    time.sleep(6)  # torch's workers look for their parent every five seconds
    print("go on", file=job.stdin, flush=True)
    assert job.stdout.readline() == "200\n"
    assert all(map(is_alive, workers))
    print("end", file=job.stdin, flush=True)
    assert job.wait(timeout=30) == 0
    wait_until_gone(workers)
