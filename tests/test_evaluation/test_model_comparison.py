"""One table of several models, and differences on what they were both asked about."""

import json

import pytest

from evaluation import BootstrapOptions, compare_models, comparison_table, write_comparison
from evaluation.model_comparison import paired_difference
from evaluation.records import WHOLE_CATEGORY
from tests.support.evaluation_records import make_record

FEW = BootstrapOptions(num_resamples=100)


def prompted(model, *, dice, num_images=6):
    return [
        make_record(model=model, key=f"a__{index}", subject=f"s{index}", dice=dice + index / 100)
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


def facts_of(*models):
    return {model: {"steps": "7"} for model in models}


def test_every_model_is_compared_with_every_other_one():
    rows = {"first": prompted("first", dice=0.5), "second": prompted("second", dice=0.7)}
    found = compare_models(rows, facts=facts_of(*rows), reference="first", bootstrap=FEW)
    there, back = (
        found.models[one].differences[other]
        for one, other in (("first", "second"), ("second", "first"))
    )
    assert there is not None
    assert back is not None
    assert (there.difference.mean, back.difference.mean) == pytest.approx((-0.2, 0.2))
    assert back.difference.num_subjects == 6


def test_a_prompted_and_an_automatic_model_meet_where_a_category_has_one_object():
    click, whole = prompted("click", dice=0.8), automatic("whole", dice=0.6)
    # A second nodule in the first image: only the automatic row is about both.
    click.append(make_record(model="click", key="a__0", subject="s0", object_index=1, dice=0.1))
    paired = paired_difference(click, whole, bootstrap=FEW)
    assert paired is not None
    assert paired.difference.num_rows == 5
    assert paired.difference.mean == pytest.approx(0.8 + 0.03 - 0.6)
    assert (paired.num_only_in_first, paired.num_only_in_second) == (0, 1)


def test_models_of_one_kind_are_compared_on_all_objects():
    first, second = (
        [*prompted(model, dice=dice), make_record(model=model, key="a__0", object_index=1)]
        for model, dice in (("first", 0.8), ("second", 0.6))
    )
    paired = paired_difference(first, second, bootstrap=FEW)
    assert paired is not None
    assert paired.difference.num_rows == 7


def test_models_that_were_asked_about_different_images_have_no_difference(tmp_path):
    rows = {"a": prompted("a", dice=0.5), "b": [make_record(model="b", key="elsewhere")]}
    found = compare_models(rows, facts=facts_of(*rows), reference="a", bootstrap=FEW)
    assert [row[-1] for row in comparison_table(found).rows] == ["-", "-"]
    write_comparison(tmp_path, found)
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert content["models"]["b"]["differences"] == {"a": None}


def test_the_table_has_a_line_a_model_with_its_facts_and_difference():
    rows = {"click": prompted("click", dice=0.5), "whole": automatic("whole", dice=0.5)}
    found = compare_models(rows, facts=facts_of(*rows), reference="click", bootstrap=FEW)
    table = comparison_table(found)
    assert table.titles == (
        "model",
        "asked by",
        "steps",
        "rows",
        "Dice",
        "HD95 (px)",
        "detected",
        "Dice minus click (common rows)",
    )
    lines = {row[0]: row for row in table.rows}
    assert lines["click"][1:4] == ("published_click", "7", "6")
    assert lines["click"][-1] == "-"
    assert lines["whole"][1] == "automatic"
    assert lines["whole"][-1].startswith("-0.025 [")
    assert lines["whole"][-1].endswith("(6)")


def test_the_files_hold_every_number_and_no_nan(tmp_path):
    rows = {name: prompted(name, dice=0.5, num_images=1) for name in ("a", "b")}
    found = compare_models(rows, facts=facts_of(*rows), reference="a", bootstrap=FEW)
    write_comparison(tmp_path, found)
    content = json.loads((tmp_path / "comparison.json").read_text())
    paired = content["models"]["b"]["differences"]["a"]
    assert paired["difference"]["mean"] == 0
    assert paired["difference"]["lower"] is None
    assert (tmp_path / "comparison.md").read_text().splitlines()[2].startswith("| a |")
