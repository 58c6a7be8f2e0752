"""Tables of several models, and differences on what they were both asked about."""

import json

import pyarrow.parquet as pq
import pytest

from evaluation import BootstrapOptions, compare_models, comparison_tables, write_comparison
from evaluation.measured_rows import measured_rows
from evaluation.paired_difference import difference_of, holm_adjusted
from evaluation.records import WHOLE_CATEGORY
from tests.support.evaluation_records import make_record

FEW = BootstrapOptions(num_resamples=100)


def prompted(model, *, dice, num_images=6, **more):
    return [
        make_record(
            model=model, key=f"a__{index}", subject=f"s{index}", dice=dice + index / 100, **more
        )
        for index in range(num_images)
    ]


def automatic(model, *, dice, num_images=6):
    return [
        make_record(
            model=model,
            key=f"a__{index}",
            subject=f"s{index}",
            dice=dice,
            protocol="automatic",
            object_index=WHOLE_CATEGORY,
        )
        for index in range(num_images)
    ]


def compare(rows, *, reference, steps="7"):
    trainings = {name: one if isinstance(one[0], list) else [one] for name, one in rows.items()}
    facts = {name: {"steps": steps} for name in rows}
    return compare_models(trainings, facts=facts, reference=reference, bootstrap=FEW)


def paired_difference(first, second):
    (mine,), (theirs,) = measured_rows(first), measured_rows(second)
    paired = difference_of(mine, theirs, options=FEW)
    assert paired is not None
    return paired


def test_every_model_is_compared_with_every_other_one():
    rows = {name: prompted(name, dice=dice) for name, dice in (("a", 0.5), ("b", 0.7), ("c", 0.6))}
    found = compare(rows, reference="a")
    means = {
        (pair.first.summary.model, pair.second.summary.model): pair.paired.difference.mean
        for pair in found.pairs
    }
    assert means == pytest.approx({("a", "b"): -0.2, ("a", "c"): -0.1, ("b", "c"): 0.1})
    assert all(pair.paired.difference.num_subjects == 6 for pair in found.pairs)
    adjusted = holm_adjusted([pair.paired.p_value for pair in found.pairs])
    assert [pair.p_adjusted for pair in found.pairs] == adjusted
    assert max(adjusted) > max(pair.paired.p_value for pair in found.pairs)


def test_a_difference_against_the_reference_has_the_sign_of_the_reader():
    rows = {"first": prompted("first", dice=0.5), "second": prompted("second", dice=0.7)}
    found = compare(rows, reference="first")
    pair = found.against_reference(found.models[1])
    assert pair is not None
    interval = pair.paired.difference
    assert interval.mean == pytest.approx(0.2)
    assert interval.lower <= interval.mean <= interval.upper
    assert found.against_reference(found.models[0]) is None


def test_a_prompted_and_an_automatic_model_meet_where_a_category_has_one_object():
    click, whole = prompted("click", dice=0.8), automatic("whole", dice=0.6)
    # A second nodule in the first image: only the automatic row is about both.
    click.append(make_record(model="click", key="a__0", subject="s0", object_index=1, dice=0.1))
    paired = paired_difference(click, whole)
    assert paired.difference.num_rows == 5
    assert paired.difference.mean == pytest.approx(0.8 + 0.03 - 0.6)
    assert (paired.num_only_in_first, paired.num_only_in_second) == (0, 1)


def test_models_of_one_kind_are_compared_on_all_objects():
    first, second = (
        [*prompted(model, dice=dice), make_record(model=model, key="a__0", object_index=1)]
        for model, dice in (("first", 0.8), ("second", 0.6))
    )
    assert paired_difference(first, second).difference.num_rows == 7


def test_models_that_were_asked_about_different_images_have_no_difference(tmp_path):
    rows = {"a": prompted("a", dice=0.5), "b": [make_record(model="b", key="elsewhere")]}
    found = compare(rows, reference="a")
    (table,) = comparison_tables(found)
    assert [row[-2:] for row in table.rows] == [("-", "-")] * 2
    write_comparison(tmp_path, found)
    assert json.loads((tmp_path / "comparison.json").read_text())["pairs"] == []


def test_the_table_has_a_line_a_model_with_its_facts_and_difference():
    rows = {"click": prompted("click", dice=0.5), "whole": automatic("whole", dice=0.5)}
    (table,) = comparison_tables(compare(rows, reference="click"))
    assert table.titles == (
        "model",
        "asked by",
        "steps",
        "rows",
        "Dice",
        "HD95 (px)",
        "detected",
        "Dice minus click (common rows)",
        "p (Holm)",
    )
    lines = {row[0]: row for row in table.rows}
    assert lines["click"][1:4] == ("published_click", "7", "6")
    assert lines["click"][-2:] == ("-", "-")
    assert lines["whole"][1] == "automatic"
    assert lines["whole"][-2].startswith("-0.025 [")
    assert lines["whole"][-2].endswith("(6)")
    assert 0 < float(lines["whole"][-1]) <= 1


def test_tiers_have_tables_of_their_own():
    near, far = "held_out_subjects", "held_out_sources"
    rows = {
        name: [
            *prompted(name, dice=dice, tier=near),
            *prompted(name, dice=dice - 0.3, source="elsewhere", tier=far),
        ]
        for name, dice in (("a", 0.8), ("b", 0.7))
    }
    found = compare(rows, reference="a")
    assert found.tiers == [near, far]
    tables = comparison_tables(found)
    assert ["was not trained on" in table.caption for table in tables] == [False, True]
    assert [[row[4][:5] for row in table.rows] for table in tables] == [
        ["0.825", "0.725"],
        ["0.525", "0.425"],
    ]
    assert len(found.pairs) == 2


def test_seeds_are_trainings_of_one_model_and_not_more_subjects():
    seeds = [prompted(f"run{seed}", dice=0.5 + seed / 10) for seed in range(3)]
    found = compare({"recipe": seeds, "other": prompted("other", dice=0.5)}, reference="other")
    recipe = found.models[0]
    assert recipe.mean_of_seeds == pytest.approx((0.525, 0.625, 0.725))
    assert recipe.seed_deviation == pytest.approx(0.1)
    assert recipe.summary.overall.mean("dice") == pytest.approx(0.625)
    assert recipe.summary.overall.metrics["dice"].num_rows == 6
    assert found.pairs[0].paired.difference.mean == pytest.approx(0.1)
    (table,) = comparison_tables(found)
    assert [row[table.titles.index("seeds (SD of Dice)")] for row in table.rows] == [
        "3 (0.100)",
        "1",
    ]


def test_seeds_that_were_not_asked_the_same_are_refused():
    seeds = [prompted("a", dice=0.5), prompted("a", dice=0.5, num_images=5)]
    with pytest.raises(ValueError, match=r"recipe: its 2 trainings were not asked.*6, 5 rows"):
        compare({"recipe": seeds}, reference="recipe")


def test_the_files_hold_every_number_and_no_nan(tmp_path):
    rows = {name: prompted(name, dice=0.5, num_images=1) for name in ("a", "b")}
    write_comparison(tmp_path, compare(rows, reference="a"))
    content = json.loads((tmp_path / "comparison.json").read_text())
    (pair,) = content["pairs"]
    assert (pair["first"], pair["second"], pair["mean"], pair["lower"]) == ("a", "b", 0, None)
    assert pq.read_table(tmp_path / "differences.parquet")["mean"].to_pylist() == [0.0]
    strata = pq.read_table(tmp_path / "strata.parquet").to_pylist()
    assert {row["by"] for row in strata} == {"overall", "source", "category", "subject"}
    assert (tmp_path / "comparison.md").read_text().splitlines()[4].startswith("| a |")
    assert "\\begin{tabular}" in (tmp_path / "comparison.tex").read_text()


@pytest.mark.slow
def test_several_protocols_are_mapped_and_clicks_become_curves(tmp_path):
    protocols = ["published_click", "box", "box_jitter_20", "k_clicks_01", "k_clicks_02"]
    rows = {
        name: [row for at in protocols for row in prompted(name, dice=dice, protocol=at)]
        for name, dice in (("a", 0.8), ("b", 0.7))
    }
    page = write_comparison(tmp_path, compare(rows, reference="a")).read_text()
    assert page.count("<svg") == 3  # differences, heat map, click curves
    assert "corrected for 4 pairs" in page
    assert "each side moved by up to 20 %" in page
