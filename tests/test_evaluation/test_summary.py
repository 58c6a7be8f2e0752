import json
import math

import pytest

from evaluation import BootstrapOptions, summarise, summarise_each
from evaluation.measured_rows import measured_rows
from evaluation.summary import subject_means
from tests.support.evaluation_records import make_record


def records(count=12):
    return [
        make_record(
            key=f"a_source__{index}",
            subject=f"subject-{index // 2}",
            dice=index / count,
            reference_pixels=100 * (index + 1),
            category="cyst" if index % 3 == 0 else "nodule",
            source="first" if index < 4 else "second",
        )
        for index in range(count)
    ]


def test_means_are_those_of_the_rows():
    summary = summarise(records())
    assert summary.overall.mean("dice") == pytest.approx(sum(range(12)) / 144)
    assert summary.overall.num_rows == 12
    assert summary.overall.num_subjects == 6
    interval = summary.overall.metrics["dice"]
    assert interval.lower < interval.mean < interval.upper
    assert summary.scores()["dice"] == interval.mean


def test_subjects_of_different_sources_are_different():
    rows = [make_record(source=source, subject="1") for source in ("first", "second")]
    assert summarise(rows).overall.num_subjects == 2


def test_strata_hold_their_own_rows():
    summary = summarise(records())
    assert {name: stratum.num_rows for name, stratum in summary.by_source.items()} == {
        "first": 4,
        "second": 8,
    }
    assert summary.by_source["first"].mean("dice") == pytest.approx((0 + 1 + 2 + 3) / 48)
    assert sum(stratum.num_rows for stratum in summary.by_category.values()) == 12


def test_a_category_of_several_sources_is_kept_apart():
    rows = [
        make_record(source="first", category="cyst"),
        make_record(source="second", category="cyst"),
        make_record(source="second", category="nodule", key="b"),
    ]
    assert set(summarise(rows).by_category) == {"first / cyst", "second / cyst", "nodule"}


def test_size_tertiles_part_the_objects():
    summary = summarise(records())
    assert [stratum.num_rows for stratum in summary.by_size.values()] == [4, 4, 4]
    assert summary.by_size["small"].mean("dice") < summary.by_size["large"].mean("dice")
    assert 0.04 < summary.size_limits[0] < summary.size_limits[1] < 0.09


def test_objects_of_one_size_have_no_tertiles():
    assert summarise([make_record(), make_record(key="b")]).by_size == {}


def test_misses_lower_detection_and_raise_the_distance():
    found = [make_record(key=f"{index}") for index in range(9)]
    missed = make_record(
        key="missed", predicted_pixels=0, dice=0.0, is_detected=False, hd95_pixels=141.4
    )
    better, worse = summarise(found), summarise([*found, missed])
    assert better.overall.mean("detection_rate") == 1.0
    assert worse.overall.mean("detection_rate") == 0.9
    assert worse.overall.mean("miss_rate") == pytest.approx(0.1)
    assert worse.overall.num_misses == 1
    assert worse.overall.mean("hd95_pixels") > better.overall.mean("hd95_pixels")


def test_false_positives_are_a_share_of_the_empty_rows():
    empty = {"reference_pixels": 0, "is_detected": False, "dice": math.nan}
    rows = [
        make_record(key="found"),
        make_record(key="right", predicted_pixels=0, **empty),
        make_record(key="wrong", predicted_pixels=5, **(empty | {"dice": 0.0})),
    ]
    overall = summarise(rows).overall
    assert overall.mean("false_positive_rate") == 0.5
    assert overall.num_false_positives == 1
    assert overall.mean("detection_rate") == 1.0  # of the one row with something to find
    assert overall.mean("dice") == pytest.approx(0.45)
    assert overall.metrics["dice"].num_rows == 2


def test_false_positives_are_counted_by_empty_image_and_not_by_category():
    empty = {"reference_pixels": 0, "is_detected": False, "dice": math.nan, "object_index": -1}
    rows = [
        make_record(key="full", category="cyst", object_index=-1),
        make_record(key="full", category="nodule", predicted_pixels=9, **empty),
        *(
            make_record(key=key, category=category, predicted_pixels=found, **empty)
            for key, category, found in [
                ("a", "cyst", 7),
                ("a", "nodule", 8),
                ("b", "cyst", 0),
                ("b", "nodule", 0),
            ]
        ),
    ]
    overall = summarise(rows).overall
    assert overall.mean("false_positives_per_image") == 1.0  # 2 on image a, 0 on image b
    assert overall.metrics["false_positives_per_image"].num_rows == 2
    assert overall.mean("false_positive_rate") == 3 / 5
    nodules = summarise(rows).by_category["nodule"]
    assert nodules.mean("false_positives_per_image") == 0.5


def test_area_errors_keep_or_drop_their_sign_and_know_the_spacing():
    rows = [
        make_record(key="a", predicted_pixels=150, spacing_row_millimetres=0.5,
                    spacing_column_millimetres=0.2),
        make_record(key="b", predicted_pixels=80),
        make_record(key="c", reference_pixels=0, dice=0.0),
    ]  # fmt: skip
    overall = summarise(rows).overall
    assert overall.mean("area_error") == pytest.approx((0.5 + 0.2) / 2)
    assert overall.mean("area_bias") == pytest.approx((0.5 - 0.2) / 2)
    assert overall.mean("area_error_square_millimetres") == pytest.approx(50 * 0.1)
    assert overall.metrics["area_error_square_millimetres"].num_rows == 1


def test_tiers_are_never_averaged():
    rows = [make_record(key=tier, tier=tier) for tier in ("seen", "held_out_sources")]
    with pytest.raises(ValueError, match="in one tier"):
        summarise(rows)
    assert [one.tier for one in summarise_each(rows)] == ["held_out_sources", "seen"]


def test_subjects_have_means_of_their_own():
    (group,) = measured_rows(records())
    means, counts = subject_means(group)["dice"]
    assert counts.tolist() == [2] * 6
    assert means[0] == pytest.approx((0 + 1) / 24)
    assert str(group.subject.names[0]) == "first/subject-0"


def test_an_object_that_comes_twice_is_refused():
    with pytest.raises(ValueError, match="An object has two rows of a_model"):
        summarise([make_record(), make_record()])


def test_what_no_row_could_measure_is_absent():
    overall = summarise([make_record()]).overall
    assert "hd95_millimetres" not in overall.metrics
    assert math.isnan(overall.mean("hd95_millimetres"))


def test_unknown_subjects_are_counted():
    rows = [make_record(key=str(at), subject=str(at), subject_is_known=at > 0) for at in range(3)]
    assert summarise(rows).overall.num_unknown_subjects == 1


def test_the_order_of_the_rows_does_not_matter():
    rows = records()
    assert summarise(rows) == summarise(rows[::-1])


def test_json_has_null_for_what_is_not_a_number():
    summary = summarise([make_record()], bootstrap=BootstrapOptions(num_resamples=0))
    content = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert content["overall"]["metrics"]["dice"]["lower"] is None
    assert content["overall"]["metrics"]["dice"]["mean"] == 0.9
    assert content["format_version"] == 2


def test_a_summary_is_about_one_model_and_protocol():
    rows = [make_record(), make_record(protocol="box")]
    with pytest.raises(ValueError, match="one model under one protocol"):
        summarise(rows)
    assert [summary.protocol for summary in summarise_each(rows)] == ["box", "published_click"]
    with pytest.raises(ValueError, match="no rows"):
        summarise([])
