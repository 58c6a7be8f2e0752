import time

from shards import StreamPlan, StreamSource
from shards.shard_prefetch import ShardPrefetch


def make_plan():
    sources = [
        StreamSource(content_hash=name, weight=weight, samples_per_shard=(3, 1, 4, 2))
        for name, weight in (("a", 1.0), ("b", 2.0))
    ]
    return StreamPlan(sources, seed=5, shards_per_block=3)


class RecordingCorpus:
    """Stands in for a corpus with a cache, and for its copies."""

    def __init__(self, source: int, fetched: list[tuple[int, int]]) -> None:
        self.source = source
        self.fetched = fetched

    def fetch(self, shard: int) -> None:
        self.fetched.append((self.source, shard))


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_shards_of_a_block_are_those_in_which_its_samples_lie():
    plan, position, num_blocks = make_plan(), 0, 0
    while position < plan.start_of_epoch(3):
        positions, shards = plan.block_at(position)
        assert positions.start == position
        assert shards == sorted({tuple(plan.address(one))[:2] for one in positions})
        assert plan.block_at(positions.stop - 1) == (positions, shards)
        position = positions.stop
        num_blocks += 1
    assert num_blocks > 6


def test_the_block_that_is_read_and_the_one_behind_it_are_fetched_in_this_order():
    plan, fetched = make_plan(), []
    corpora = [RecordingCorpus(source, fetched) for source in range(2)]
    prefetch = ShardPrefetch(corpora, plan)  # pyright: ignore[reportArgumentType]
    first, shards = plan.block_at(0)
    second, shards_behind = plan.block_at(first.stop)
    for position in first:
        prefetch.reach(position)
    wait_for(lambda: len(fetched) == len(shards) + len(shards_behind))
    assert fetched == [*shards, *shards_behind]
    prefetch.reach(second.start)
    _, shards_after = plan.block_at(second.stop)
    wait_for(lambda: fetched[-len(shards_after) :] == shards_after)
    prefetch.close()


def test_a_reader_that_jumps_ahead_is_followed():
    plan, fetched = make_plan(), []
    far = plan.start_of_epoch(1_000)
    prefetch = ShardPrefetch(
        [RecordingCorpus(source, fetched) for source in range(2)],  # pyright: ignore[reportArgumentType]
        plan,
    )
    prefetch.reach(far)
    _, shards = plan.block_at(far)
    wait_for(lambda: fetched[: len(shards)] == shards)
    prefetch.close()
