import math

import numpy as np
import pytest
from scipy import stats

from evaluation import BootstrapOptions, bootstrap_mean, paired_bootstrap_difference
from evaluation.confidence_intervals import bootstrap_difference, bootstrap_means
from evaluation.paired_difference import holm_adjusted
from tests.support.evaluation_records import make_record


def rows_of(num_subjects, rows_each, *, seed=0, skew=False):
    generator = np.random.default_rng(seed)
    level = generator.beta(8, 2, size=num_subjects) if skew else generator.normal(size=num_subjects)
    values = np.repeat(level, rows_each) + 0.01 * generator.normal(size=num_subjects * rows_each)
    return values, np.repeat([f"subject-{index}" for index in range(num_subjects)], rows_each)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_agrees_with_scipys_bootstrap_of_subject_means(method):
    values, subjects = rows_of(40, 5, skew=True)
    means = values.reshape(40, 5).mean(axis=1)
    ours = bootstrap_mean(
        values, subjects=subjects, options=BootstrapOptions(num_resamples=50_000, method=method)
    )
    theirs = stats.bootstrap(
        (means,),
        np.mean,
        n_resamples=50_000,
        method="BCa" if method == "bca" else "percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(values.mean())
    assert ours.lower == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.upper == pytest.approx(theirs.high, abs=0.03 * width)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_subjects_of_several_sizes_agree_with_scipys_bootstrap_of_their_ratio(method):
    generator = np.random.default_rng(3)
    counts = generator.integers(1, 9, size=30)
    level = generator.beta(6, 2, size=30)
    subjects = np.repeat(np.arange(30), counts)
    values = np.clip(level[subjects] + 0.05 * generator.normal(size=len(subjects)), 0, 1)
    ours = bootstrap_mean(
        values, subjects=subjects, options=BootstrapOptions(num_resamples=30_000, method=method)
    )
    theirs = stats.bootstrap(
        (np.bincount(subjects, weights=values), counts.astype(float)),
        lambda sums, sizes, axis=-1: sums.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        n_resamples=30_000,
        method="BCa" if method == "bca" else "percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.lower == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.upper == pytest.approx(theirs.high, abs=0.03 * width)


def test_very_many_subjects_drawn_in_units_have_the_interval_of_the_central_limit(monkeypatch):
    monkeypatch.setattr("evaluation.confidence_intervals.MOST_UNITS", 1_000)
    values = np.random.default_rng(0).exponential(size=20_000)
    interval = bootstrap_mean(values, subjects=np.arange(20_000))
    half = 1.96 * values.std() / math.sqrt(20_000)
    assert interval.num_subjects == 20_000
    assert interval.lower == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert interval.upper == pytest.approx(values.mean() + half, abs=0.15 * half)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_the_p_value_is_where_the_interval_leaves_zero_out(method):
    values, subjects = rows_of(25, 3, skew=True)
    values -= np.quantile(values, 0.3)

    def interval_at(confidence):
        options = BootstrapOptions(method=method, confidence=confidence, num_resamples=4_000)
        return bootstrap_difference(values, subjects=subjects, options=options)

    _, p_value = interval_at(0.95)
    assert 0.001 < p_value < 0.2
    just_outside, _ = interval_at(1 - p_value * 1.05)
    just_inside, _ = interval_at(1 - p_value * 0.95)
    assert just_outside.lower > 0 > just_inside.lower


def test_p_values_know_certainty_and_its_lack():
    subjects = np.arange(12)
    options = BootstrapOptions(num_resamples=99)
    assert bootstrap_difference(np.full(12, 0.1), subjects=subjects, options=options)[1] == 0.01
    assert bootstrap_difference(np.zeros(12), subjects=subjects, options=options)[1] == 1.0
    even = np.tile([0.1, -0.1], 6)
    assert bootstrap_difference(even, subjects=subjects)[1] > 0.9
    assert math.isnan(bootstrap_difference(np.ones(3), subjects=np.zeros(3))[1])


def test_holm_corrects_for_the_number_of_tests():
    assert holm_adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm_adjusted([0.6, 0.5]) == [1.0, 1.0]
    adjusted = holm_adjusted([0.02, math.nan, 0.5])
    assert adjusted[0] == 0.04
    assert math.isnan(adjusted[1])


def test_subjects_with_more_rows_count_more():
    # Ratio of sums, not mean of subject means: 3 rows of one subject, 1 of the other.
    interval = bootstrap_mean(np.array([1.0, 1.0, 1.0, 0.0]), subjects=["a", "a", "a", "b"])
    assert interval.mean == 0.75
    assert (interval.lower, interval.upper) == (0.0, 1.0)
    assert (interval.num_rows, interval.num_subjects) == (4, 2)


def test_resampling_subjects_gives_wider_intervals_than_resampling_rows():
    values, subjects = rows_of(30, 10)
    by_subject = bootstrap_mean(values, subjects=subjects)
    by_row = bootstrap_mean(values, subjects=[str(row) for row in range(len(values))])
    assert by_subject.upper - by_subject.lower > 2 * (by_row.upper - by_row.lower)


def test_intervals_hold_the_true_mean_about_as_often_as_they_claim():
    options = BootstrapOptions(num_resamples=400, confidence=0.9)
    num_held = 0
    for seed in range(200):
        values, subjects = rows_of(60, 2, seed=seed)
        interval = bootstrap_mean(values, subjects=subjects, options=options)
        num_held += interval.lower <= 0.0 <= interval.upper
    assert 0.83 < num_held / 200 < 0.96


def test_rows_that_cannot_be_measured_are_left_out():
    with_gap = bootstrap_mean(np.array([0.5, math.nan, 0.7]), subjects=["a", "b", "c"])
    without = bootstrap_mean(np.array([0.5, 0.7]), subjects=["a", "c"])
    assert with_gap == without
    assert with_gap.num_rows == 2


def test_one_subject_says_nothing_about_others():
    interval = bootstrap_mean(np.array([0.2, 0.4]), subjects=["a", "a"])
    assert interval.mean == pytest.approx(0.3)
    assert math.isnan(interval.lower)
    assert math.isnan(interval.upper)


def test_no_row_has_no_mean():
    interval = bootstrap_mean(np.array([math.nan]), subjects=["a"])
    assert math.isnan(interval.mean)
    assert interval.num_rows == 0


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_equal_values_have_an_interval_of_no_width(method):
    options = BootstrapOptions(method=method)
    interval = bootstrap_mean(np.full(9, 0.9), subjects=list("abcdefghi"), options=options)
    assert [interval.lower, interval.mean, interval.upper] == pytest.approx([0.9] * 3, abs=1e-15)


def test_zero_resamples_leave_the_interval_out():
    values, subjects = rows_of(5, 2)
    interval = bootstrap_mean(values, subjects=subjects, options=BootstrapOptions(num_resamples=0))
    assert interval.mean == pytest.approx(values.mean())
    assert math.isnan(interval.lower)


def test_the_seed_alone_decides_the_draws():
    values, subjects = rows_of(12, 2)
    first = bootstrap_mean(values, subjects=subjects)
    assert bootstrap_mean(values, subjects=subjects) == first
    order = np.random.default_rng(3).permutation(len(values))
    shuffled = bootstrap_mean(values[order], subjects=subjects[order])
    assert shuffled.lower == pytest.approx(first.lower)
    other = bootstrap_mean(values, subjects=subjects, options=BootstrapOptions(seed=1))
    assert other.lower != first.lower


def test_columns_together_have_the_intervals_they_have_alone():
    values, subjects = rows_of(20, 3)
    with_gaps = np.where(np.arange(60) % 7 == 0, np.nan, values)
    together = bootstrap_means({"a": values, "b": with_gaps, "c": 2 * values}, subjects=subjects)
    for name, column in [("a", values), ("b", with_gaps)]:
        alone = bootstrap_mean(column, subjects=subjects)
        assert together[name].mean == alone.mean
        assert together[name].lower == pytest.approx(alone.lower)
        assert together[name].upper == pytest.approx(alone.upper)
    assert together["c"].lower == pytest.approx(2 * together["a"].lower)


@pytest.mark.parametrize(
    ("change", "name"),
    [({"num_resamples": -1}, "intervals.num_resamples"), ({"confidence": 1.0}, "confidence")],
)
def test_impossible_options_are_refused(change, name):
    with pytest.raises(ValueError, match=name):
        BootstrapOptions(**change)


def records_of(dice_by_subject, *, model):
    return [
        make_record(model=model, key=f"a_source__{index}", subject=f"subject-{index}", dice=dice)
        for index, dice in enumerate(dice_by_subject)
    ]


def test_a_model_that_is_a_little_better_on_every_subject_is_better_beyond_chance():
    level = np.random.default_rng(0).uniform(0.3, 0.95, size=40)
    first, second = records_of(level + 0.01, model="first"), records_of(level, model="second")
    paired = paired_bootstrap_difference(first, second)
    assert paired.difference.mean == pytest.approx(0.01)
    assert paired.difference.lower > 0
    assert (paired.num_only_in_first, paired.num_only_in_second) == (0, 0)


def test_a_model_that_is_better_on_half_of_the_subjects_is_not_better_beyond_chance():
    level = np.full(40, 0.5)
    change = np.where(np.arange(40) % 2, 0.1, -0.09)
    paired = paired_bootstrap_difference(
        records_of(level + change, model="first"), records_of(level, model="second")
    )
    assert paired.difference.lower < 0 < paired.difference.upper


def test_only_common_rows_are_compared_and_the_others_are_counted():
    first = records_of([0.5, 0.6, math.nan, 0.8], model="first")
    second = records_of([0.4, 0.5, math.nan], model="second")
    paired = paired_bootstrap_difference(first, second)
    assert paired.difference.mean == pytest.approx(0.1)
    assert paired.difference.num_rows == 2
    assert (paired.num_only_in_first, paired.num_only_in_second) == (1, 0)
    assert paired.num_not_measurable == 1


def test_marking_an_absent_category_is_worse_than_leaving_it_empty():
    right, wrong = records_of([0.5, math.nan], model="a"), records_of([0.5, 0.0], model="b")
    assert paired_bootstrap_difference(right, wrong).difference.mean == pytest.approx(0.5)
    assert paired_bootstrap_difference(wrong, right).difference.mean == pytest.approx(-0.5)


def test_models_without_a_common_object_cannot_be_compared():
    first = [make_record(key="a_source__1")]
    with pytest.raises(ValueError, match="share no object"):
        paired_bootstrap_difference(first, [make_record(key="a_source__2")])


def test_rows_of_two_protocols_are_no_side_of_a_comparison():
    first = [make_record(protocol="box"), make_record(protocol="published_click")]
    with pytest.raises(ValueError, match="one model under one protocol"):
        paired_bootstrap_difference(first, [make_record()])
