"""Datasets of unequal size evened out by a temperature, and long sequences thinned by a cap."""

import itertools
import math
import pickle
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shards import StreamPlan, StreamSource, describe_stream_differences

UNHURRIED = settings(deadline=None, max_examples=20)

# For each shard, the sequence of each of its samples: 4 sequences, which may go on in other shards.
SHARDS = st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=4).filter(any)
CORPORA = st.lists(SHARDS, min_size=1, max_size=2)


def capped_plan(*corpora, max_per_sequence=2, weights=None, seed=0, **options):
    return StreamPlan(
        [
            StreamSource(
                content_hash=f"{place:02d}",
                weight=weight,
                samples_per_shard=tuple(map(len, shards)),
                sequences=np.array(list(itertools.chain(*shards)), dtype=np.uint64),
            )
            for place, (shards, weight) in enumerate(
                zip(corpora, weights or itertools.repeat(1), strict=False)
            )
        ],
        seed=seed,
        shards_per_block=2,
        max_per_sequence=max_per_sequence,
        **options,
    )


def epoch_of(plan, number):
    positions = range(plan.start_of_epoch(number), plan.start_of_epoch(number + 1))
    return [plan.address(position) for position in positions]


def frames_of_sequences(corpora):
    frames = defaultdict(list)
    for corpus, shards in enumerate(corpora):
        for shard, sequences in enumerate(shards):
            for sample, sequence in enumerate(sequences):
                frames[corpus, sequence].append((corpus, shard, sample))
    return frames


@UNHURRIED
@given(corpora=CORPORA, cap=st.integers(1, 4), epoch=st.integers(0, 30), seed=st.integers(0, 2))
def test_an_epoch_takes_of_each_sequence_the_cap_or_all_it_has(corpora, cap, epoch, seed):
    plan = capped_plan(*corpora, max_per_sequence=cap, seed=seed)
    taken, following = (
        Counter(map(tuple, epoch_of(plan, number))) for number in (epoch, epoch + 1)
    )
    for frames in frames_of_sequences(corpora).values():
        chosen, next_chosen = ({one for one in frames if of[one]} for of in (taken, following))
        assert sum(taken[one] for one in frames) == len(chosen) == min(cap, len(frames))
        assert (chosen == next_chosen) == (len(frames) <= cap)


@UNHURRIED
@given(corpora=CORPORA, cap=st.integers(1, 3), weight=st.sampled_from([1, 0.5, 1.5, 2]))
def test_the_frames_of_a_capped_sequence_come_equally_often(corpora, cap, weight):
    plan = capped_plan(*corpora, max_per_sequence=cap, weights=[weight] * 2)
    sequences = frames_of_sequences(corpora)
    rounds = math.lcm(*(len(frames) for frames in sequences.values()))
    num_epochs = math.ceil(rounds * 2 / weight) if weight != 1.5 else 4 * rounds
    end = plan.start_of_epoch(num_epochs)
    assume(end <= 1500)  # long sequences of many lengths come round together very late
    counts = Counter(tuple(plan.address(position)) for position in range(end))
    for frames in sequences.values():
        share = min(cap, len(frames)) / len(frames)
        assert {counts[one] for one in frames} == {round(num_epochs * weight * share)}


@UNHURRIED
@given(corpora=CORPORA, data=st.data())
def test_a_capped_position_is_found_without_its_predecessors(corpora, data):
    expected = [capped_plan(*corpora).address(position) for position in range(40)]
    position = data.draw(st.integers(0, 39))
    assert capped_plan(*corpora).address(position) == expected[position]


def test_sequences_of_two_corpora_are_two_though_they_are_called_alike():
    plan = capped_plan([[7, 7, 7]], [[7, 7, 7]], max_per_sequence=1)
    assert {address.source for address in epoch_of(plan, 0)} == {0, 1}


def test_a_cap_goes_on_where_it_was_and_another_one_is_refused():
    shards = [[0, 0, 0, 1, 1, 2], [2, 2, 3]]
    plan = capped_plan(shards)
    assert capped_plan(shards).identity == plan.identity
    assert describe_stream_differences(plan.identity, capped_plan(shards).identity) == []
    wider = capped_plan(shards, max_per_sequence=3).identity
    assert describe_stream_differences(plan.identity, wider) == ["max_per_sequence was 2, is 3"]
    free = StreamPlan(
        [StreamSource(content_hash="00", weight=1, samples_per_shard=(6, 3))],
        seed=0,
        shards_per_block=2,
    )
    assert describe_stream_differences(free.identity, plan.identity) == [
        "max_per_sequence was None, is 2"
    ]
    regrouped = capped_plan([[0, 0, 0, 1, 1, 1], [2, 2, 3]]).identity
    assert describe_stream_differences(plan.identity, regrouped) == [
        "data.train[0] had its images in other sequences"
    ]


@pytest.mark.parametrize("length", [1, 50])
def test_a_capped_plan_keeps_few_bytes_an_image(length):
    num_images = 200_000
    sequences = np.random.default_rng(0).permutation(num_images).astype(np.uint64) // length
    source = StreamSource(
        content_hash="00", weight=1, samples_per_shard=(1000,) * 200, sequences=sequences
    )
    plan = StreamPlan([source], seed=0, max_per_sequence=70_000)
    assert len(pickle.dumps(plan)) < 5.2 * num_images


def mixed_plan(*corpora, weights=None, temperature=2.0, **options):
    """Each corpus a list of (dataset, samples) shards."""
    return StreamPlan(
        [
            StreamSource(
                content_hash=f"{place:02d}",
                weight=weight,
                samples_per_shard=tuple(size for _, size in shards),
                dataset_of_shard=tuple(name for name, _ in shards),
            )
            for place, (shards, weight) in enumerate(
                zip(corpora, weights or itertools.repeat(1), strict=False)
            )
        ],
        seed=0,
        mixing_temperature=temperature,
        **options,
    )


def counts_of(plan, corpora, *, num_epochs):
    counts = Counter()
    for position in range(plan.start_of_epoch(num_epochs)):
        address = plan.address(position)
        counts[corpora[address.source][address.shard][0]] += 1
    return counts


CORPORA_OF_DATASETS = (
    [("large", 60), ("large", 40), ("small", 4)],
    [("middle", 15), ("middle", 10)],
)


@pytest.mark.parametrize("temperature", [1.0, 1.5, 2.0, 5.0, 1e6])
def test_a_dataset_gets_the_share_that_the_temperature_says(temperature):
    plan = mixed_plan(*CORPORA_OF_DATASETS, temperature=temperature)
    counts = counts_of(plan, CORPORA_OF_DATASETS, num_epochs=8)
    assert counts["large"] == 800
    for name, size in (("small", 4), ("middle", 25)):
        expected = (size / 100) ** (1 / temperature)
        assert counts[name] / counts["large"] == pytest.approx(expected, rel=0.01)


def test_a_repeated_dataset_shows_every_sample_alike_and_spread_over_the_epoch():
    plan = mixed_plan([("large", 60), ("large", 40), ("small", 4)], temperature=1e9)
    addresses = epoch_of(plan, 0)
    small = [place for place, address in enumerate(addresses) if address.shard == 2]
    assert len(small) == 100
    assert set(Counter(addresses[place].sample for place in small).values()) == {25}
    halves = sum(place < len(addresses) / 2 for place in small)
    assert 35 < halves < 65


def test_weights_of_corpora_multiply_what_the_temperature_gives():
    corpora = ([("a", 100)], [("b", 25)])
    plan = mixed_plan(*corpora, weights=[1, 3])
    assert counts_of(plan, corpora, num_epochs=1) == {"a": 100, "b": 150}


def test_one_dataset_in_two_corpora_is_as_large_as_both():
    corpora = ([("a", 50), ("b", 25)], [("a", 50)])
    assert counts_of(mixed_plan(*corpora), corpora, num_epochs=1) == {"a": 100, "b": 50}


def test_a_cap_comes_before_the_sizes_that_are_evened_out():
    source = StreamSource(
        content_hash="",
        weight=1,
        samples_per_shard=(100, 25),
        dataset_of_shard=("videos", "images"),
        sequences=np.concatenate([np.zeros(100), np.arange(1, 26)]).astype(np.uint64),
    )
    plan = StreamPlan([source], seed=0, mixing_temperature=1e9, max_per_sequence=5)
    assert Counter(address.shard for address in epoch_of(plan, 0)) == {0: 25, 1: 25}


def test_another_temperature_is_another_run():
    one, other = (mixed_plan([("a", 4)], temperature=one).identity for one in (2.0, 3.0))
    assert describe_stream_differences(one, other) == ["mixing_temperature was 2.0, is 3.0"]


def test_a_handful_of_samples_is_not_repeated_without_end():
    message = r"1000000000.0 would show each of the 1 samples of rare 20000 times an epoch"
    with pytest.raises(ValueError, match=message):
        mixed_plan([("a", 20_000), ("rare", 1)], temperature=1e9)
