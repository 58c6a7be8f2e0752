import pickle
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards import (
    SampleAddress,
    StreamPlan,
    StreamSource,
    describe_stream_differences,
)
from shards.step_slots import micro_batches, num_micro_batches, slots_of_rank

# The machine may be busy: how long an example takes says nothing.
UNHURRIED = settings(deadline=None, max_examples=40)

SHARD_SIZES = st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(any)
WEIGHTS = st.sampled_from([1, 2, 3, 0.5, 1.5, 0.3, 0.1, 1 / 3, 2.25])
SOURCES = st.lists(st.tuples(SHARD_SIZES, WEIGHTS), min_size=1, max_size=3)
GOLDEN_ORDER = [
    (0, 1, 3),
    (0, 1, 2),
    (0, 1, 0),
    (0, 1, 1),
    (0, 1, 4),
    (0, 0, 2),
    (1, 0, 2),
    (0, 0, 1),
    (1, 0, 3),
    (0, 0, 0),
    (0, 1, 3),
    (0, 1, 1),
    (0, 1, 0),
    (0, 1, 4),
    (0, 1, 2),
    (0, 0, 1),
    (1, 0, 1),
    (0, 0, 2),
    (1, 0, 0),
    (0, 0, 0),
]
EPOCHS_OF_WEIGHT = {1: 1, 2: 1, 3: 1, 0.5: 2, 1.5: 2, 0.3: 10, 0.1: 10, 1 / 3: 3, 2.25: 4}


def make_plan(*sources, seed=0, shards_per_block=2):
    return StreamPlan(
        [
            StreamSource(content_hash=f"{place:02d}", weight=weight, samples_per_shard=tuple(sizes))
            for place, (sizes, weight) in enumerate(sources)
        ],
        seed=seed,
        shards_per_block=shards_per_block,
    )


def addresses(plan, positions):
    return [plan.address(position) for position in positions]


def all_samples(*sources):
    return [
        SampleAddress(source, shard, sample)
        for source, (sizes, _) in enumerate(sources)
        for shard, size in enumerate(sizes)
        for sample in range(size)
    ]


@UNHURRIED
@given(sources=SOURCES, seed=st.integers(0, 3), shards_per_block=st.integers(1, 4))
def test_each_sample_comes_as_often_as_its_weight_says(sources, seed, shards_per_block):
    plan = make_plan(*sources, seed=seed, shards_per_block=shards_per_block)
    num_epochs = max(EPOCHS_OF_WEIGHT[weight] for _, weight in sources)
    sequence = addresses(plan, range(plan.start_of_epoch(num_epochs)))
    expected = all_samples(*sources)
    for source, (_, weight) in enumerate(sources):
        period = EPOCHS_OF_WEIGHT[weight]
        counts = Counter(one for one in sequence[: plan.start_of_epoch(period)] if one[0] == source)
        assert counts == {one: round(weight * period) for one in expected if one[0] == source}


@UNHURRIED
@given(sources=SOURCES, epoch=st.integers(0, 50))
def test_no_epoch_departs_from_a_weight_by_a_whole_visit(sources, epoch):
    plan = make_plan(*sources)
    positions = range(plan.start_of_epoch(epoch), plan.start_of_epoch(epoch + 1))
    counts = Counter(addresses(plan, positions))
    for address in all_samples(*sources):
        assert abs(counts[address] - sources[address.source][1]) < 2
        assert all(plan.epoch_at(position) == epoch for position in positions[:1])


@UNHURRIED
@given(sizes=SHARD_SIZES)
def test_half_a_weight_shows_each_sample_once_in_two_epochs(sizes):
    plan = make_plan((sizes, 0.5), ([3], 1))
    first, second = (
        Counter(addresses(plan, range(plan.start_of_epoch(e), plan.start_of_epoch(e + 1))))
        for e in (0, 1)
    )
    for shard, size in enumerate(sizes):
        shown = [sum(c[SampleAddress(0, shard, s)] for s in range(size)) for c in (first, second)]
        assert sum(shown) == size
        assert abs(shown[0] - shown[1]) <= 1


def test_one_sample_shards_of_half_a_weight_take_turns():
    plan = make_plan(([1] * 20, 0.5))
    assert 8 <= plan.start_of_epoch(1) <= 12
    assert plan.start_of_epoch(2) == 20


@UNHURRIED
@given(sources=SOURCES, data=st.data())
def test_any_position_is_found_without_its_predecessors(sources, data):
    endless = make_plan(*sources)
    expected = addresses(endless, range(60))
    for position in data.draw(st.lists(st.integers(0, 59), min_size=1, max_size=8)):
        assert make_plan(*sources).address(position) == expected[position]


@UNHURRIED
@given(
    sources=SOURCES,
    num_ranks=st.integers(1, 6),
    accumulation=st.integers(1, 4),
    micro_batch_size=st.integers(1, 5),
    step=st.integers(0, 40),
)
def test_a_step_takes_the_same_samples_however_it_is_shared(
    sources, num_ranks, accumulation, micro_batch_size, step
):
    global_batch_size = num_ranks * accumulation * micro_batch_size
    plan = make_plan(*sources)
    taken = []
    for rank in range(num_ranks):
        slots = slots_of_rank(
            step, global_batch_size=global_batch_size, rank=rank, num_ranks=num_ranks
        )
        batches = micro_batches(slots, micro_batch_size=micro_batch_size)
        assert len(batches) == accumulation
        assert {len(batch) for batch in batches} == {micro_batch_size}
        taken += [position for batch in batches for position in batch]
    first = step * global_batch_size
    assert taken == list(range(first, first + global_batch_size))
    assert len(addresses(plan, taken)) == global_batch_size


def test_another_seed_content_or_weight_gives_another_order():
    usual = addresses(make_plan(([50, 50], 1)), range(100))
    other_content = StreamPlan(
        [StreamSource(content_hash="other", weight=1, samples_per_shard=(50, 50))],
        seed=0,
        shards_per_block=2,
    )
    assert addresses(make_plan(([50, 50], 1), seed=1), range(100)) != usual
    assert addresses(other_content, range(100)) != usual
    assert addresses(make_plan(([50, 50], 2)), range(100)) != usual


def test_two_epochs_come_in_different_orders():
    plan = make_plan(([40, 40, 40], 1))
    assert addresses(plan, range(120)) != addresses(plan, range(120, 240))
    assert set(addresses(plan, range(120))) == set(addresses(plan, range(120, 240)))


def test_batches_mix_the_sources():
    plan = make_plan(([100] * 12, 1), ([100] * 4, 1), shards_per_block=4)
    sources = np.array([plan.address(position).source for position in range(1600)])
    share_of_second = sources.reshape(16, 100).mean(axis=1)
    assert share_of_second.min() > 0.05
    assert share_of_second.max() < 0.6


def test_a_block_holds_few_shards_open():
    plan = make_plan(([10] * 64, 1), shards_per_block=4)
    for first in range(0, 640, 40):
        block = addresses(plan, range(first, first + 40))
        assert len({(address.source, address.shard) for address in block}) == 4


def test_visits_of_a_heavy_shard_are_spread_over_the_epoch():
    plan = make_plan(([10] * 40, 2), shards_per_block=2)
    halves = [Counter(addresses(plan, part)) for part in (range(400), range(400, 800))]
    assert set(halves[0].values()) == set(halves[1].values()) == {1}


def test_the_order_is_pinned():
    plan = make_plan(([3, 5], 1), ([4], 0.5), seed=7)
    assert [tuple(address) for address in addresses(plan, range(20))] == GOLDEN_ORDER


@pytest.mark.parametrize("weight", [1, 0.3])
def test_ranks_of_a_huge_run_find_their_samples_with_little_memory_and_few_draws(
    monkeypatch, weight
):
    """4,096 ranks and 100 million samples; the cost is that of one epoch's shards and one block."""
    num_shards, num_ranks, draws = 100_000, 4_096, []
    draw = StreamPlan._random_words
    monkeypatch.setattr(
        StreamPlan,
        "_random_words",
        lambda plan, count, *purpose: draws.append(count) or draw(plan, count, *purpose),
    )
    tracemalloc.start()
    try:
        plan = make_plan(([1000] * num_shards, weight), shards_per_block=16)
        in_workers = len(pickle.dumps(plan))
        for step, rank in ((0, 0), (12_207, 4_095), (10**9, 2_047)):
            draws.clear()
            slots = slots_of_rank(step, global_batch_size=8_192, rank=rank, num_ranks=num_ranks)
            addresses(plan, slots)
            assert sum(draws) <= 2 * num_shards + 2 * 16 * 1000
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert in_workers < 6e6
    assert kept < 8e6
    assert peak < 20e6


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "data.train names no corpus"),
        ([((), 1)], r"data.train\[0\] holds no samples"),
        ([((4,), 1), ((0, 0), 1)], r"data.train\[1\] holds no samples"),
        ([((4,), 0)], r"weight of data.train\[0\] is 0; it must lie between"),
        ([((4,), -1)], "leave it out"),
        ([((4,), float("nan"))], "is nan"),
        ([((4,), float("inf"))], "is inf"),
    ],
)
def test_sources_that_give_nothing_are_refused(sources, message):
    with pytest.raises(ValueError, match=message):
        make_plan(*sources)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((6, 1, 4), "data.global_batch_size is 6, which 4 processes cannot share"),
        ((12, 4, 2), "data.micro_batch_size is 4, which does not divide the 6 samples"),
        ((0, 1, 1), "data.global_batch_size must be at least 1"),
        ((4, 0, 1), "data.micro_batch_size must be at least 1"),
    ],
)
def test_batch_sizes_that_do_not_fit_are_refused(sizes, message):
    global_batch_size, micro_batch_size, num_ranks = sizes
    with pytest.raises(ValueError, match=message):
        num_micro_batches(
            global_batch_size=global_batch_size,
            micro_batch_size=micro_batch_size,
            num_ranks=num_ranks,
        )


def test_a_changed_stream_is_described():
    saved = {**make_plan(([4], 1), ([4], 1)).identity, "global_batch_size": 8}
    present = {**make_plan(([4], 2), ([4], 1), seed=5).identity, "global_batch_size": 4}
    present["sources"][1]["content_hash"] = "ff"
    assert describe_stream_differences(saved, present) == [
        "global_batch_size was 8, is 4",
        "seed was 0, is 5",
        "the weight of data.train[0] was 1.0, is 2.0",
        "data.train[1] had the content 01, has ff",
    ]
    assert describe_stream_differences(saved, saved) == []
    fewer = make_plan(([4], 1)).identity
    assert "data.train had 2 corpora, has 1" in describe_stream_differences(saved, fewer)


def test_the_fingerprint_tells_plans_apart():
    usual = make_plan(([4], 1)).fingerprint
    assert make_plan(([4], 1)).fingerprint == usual
    assert make_plan(([4], 0.5)).fingerprint != usual
    assert make_plan(([4], 1), shards_per_block=3).fingerprint != usual
