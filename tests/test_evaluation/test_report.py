import dataclasses
import html
import html.parser
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evaluation import (
    BootstrapOptions,
    EvaluationOptions,
    Interval,
    evaluate_corpus,
    read_records,
    summarise,
    summarise_each,
)
from evaluation.image_prompt import ImagePrompt
from evaluation.measured_rows import measured_rows
from evaluation.protocols import what_is_told
from evaluation.reports.case_gallery import choose_cases, predict_cases
from evaluation.reports.figures import MOST_POINTS
from evaluation.reports.overlays import (
    PREDICTION_COLOUR,
    PROMPT_COLOUR,
    REFERENCE_COLOUR,
    Answer,
    draw_answer,
)
from evaluation.reports.published_figures import PUBLISHED, published_table
from evaluation.reports.sections import figure_key
from evaluation.reports.tables import (
    Table,
    format_interval,
    latex_table,
    markdown_table,
    tables_of,
    terminal_overview,
    terminal_table,
)
from tests.support.disk_corpus import (
    DISK,
    RING,
    AutomaticBrightnessPredictor,
    BrightnessPredictor,
    disk_mask,
    disk_sample,
    write_disk_corpus,
)
from tests.support.disk_report import (
    write_automatic_report,
    write_disk_report,
    write_full_report,
)
from tests.support.evaluation_records import make_record


class StrictParser(html.parser.HTMLParser):
    """Collects addresses, and fails on tags that are not closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    records = write_disk_report(folder)
    return folder / "out", records


def test_the_page_needs_no_other_file_and_no_network(written):
    content = (written[0] / "report.html").read_text()
    parser = StrictParser()
    parser.feed(content)
    assert parser.open == []
    assert "script" not in parser.tags
    assert len(parser.addresses) == 2 * 3 * 2  # protocols x groups x cases, all pictures
    assert all(address.startswith("data:image/jpeg;base64,") for address in parser.addresses)
    assert "@import" not in content
    assert "url(http" not in content


def test_the_page_escapes_names(written):
    content = (written[0] / "report.html").read_text()
    assert "a&lt;model&gt;" in content
    assert "a<model>" not in content


def test_the_page_shows_the_numbers_and_says_what_it_does_not_show(written):
    folder, records = written
    content = (folder / "report.html").read_text()
    click = summarise([row for row in records if row.protocol == "published_click"])
    assert f"{click.overall.mean('dice'):.3f}" in content
    assert "Not a medical device" in content
    assert "middle foreground pixel" in content
    assert "checkpoint=RUN" in content
    assert len(re.findall("<svg", content)) == 4


def test_rows_and_numbers_lie_beside_the_page(written):
    folder, records = written
    assert sorted(path.name for path in folder.iterdir()) == [
        "calibration.parquet",
        "counts.parquet",
        "paper.md",
        "paper.tex",
        "presence.parquet",
        "records.parquet",
        "report.html",
        "strata.parquet",
        "summary.json",
        "summary.md",
    ]
    read = read_records(folder / "records.parquet")
    assert {row.identity for row in read} == {row.identity for row in records}
    content = json.loads((folder / "summary.json").read_text())
    recomputed = {summary.protocol: summary.to_json() for summary in summarise_each(read)}
    written_summaries = {summary["protocol"]: summary for summary in content["summaries"]}
    assert written_summaries == json.loads(json.dumps(recomputed))
    assert "| all | 12 |" in (folder / "summary.md").read_text()


def test_every_mean_of_the_summary_is_a_row_of_the_strata(written):
    folder, _ = written
    strata = pq.read_table(folder / "strata.parquet").to_pylist()
    assert {row["by"] for row in strata} == {"overall", "source", "category", "size", "subject"}
    found = {(row["protocol"], row["by"], row["stratum"], row["metric"]): row for row in strata}
    for summary in json.loads((folder / "summary.json").read_text())["summaries"]:
        dice = summary["overall"]["metrics"]["dice"]
        row = found[summary["protocol"], "overall", "all", "dice"]
        assert {name: row[name] for name in dice} == dice
    subject = found["box", "subject", "disks/s0", "dice"]
    assert (subject["num_rows"], subject["lower"]) == (3, None)


def test_the_recipe_on_the_page_gives_the_same_numbers(written, monkeypatch):
    folder, _ = written
    page = html.unescape((folder / "report.html").read_text())
    recipe = page.partition("<pre>from pathlib")[2].partition("</pre>")[0]
    monkeypatch.chdir(folder)
    namespace = {}
    exec(f"from pathlib{recipe}", namespace)
    expected = json.loads((folder / "summary.json").read_text())["summaries"]
    found = {summary.protocol: summary.to_json() for summary in namespace["summaries"]}
    assert found == {summary["protocol"]: summary for summary in expected}


def test_counts_of_every_stratum_are_rows_and_sizes_tell_their_limits(written):
    folder, _ = written
    counts = pq.read_table(folder / "counts.parquet").to_pylist()
    found = {(row["protocol"], row["by"], row["stratum"]): row for row in counts}
    for summary in json.loads((folder / "summary.json").read_text())["summaries"]:
        of_protocol = summary["protocol"]
        overall = found[of_protocol, "overall", "all"]
        names = [name for name in overall if name.startswith("num_")]
        assert len(names) == 6
        assert {name: overall[name] for name in names}.items() <= summary["overall"].items()
        limits = [found[of_protocol, "size", name]["up_to_share"] for name in ("small", "medium")]
        assert limits == summary["size_limits"]
        assert found[of_protocol, "size", "large"]["above_share"] == limits[1]
    assert pq.read_table(folder / "presence.parquet").num_rows == 0


def test_one_table_goes_into_a_paper(written):
    folder, _ = written
    lines = (folder / "paper.md").read_text().splitlines()
    assert [line.split(" | ")[1] for line in lines[2:4]] == ["box", "published_click"]
    latex = (folder / "paper.tex").read_text()
    assert latex.count("\\\\\n") == 3
    assert "published\\_click" in latex
    assert "{\\scriptsize [" in latex
    assert "$\\uparrow$" in latex
    body = [line for line in latex.splitlines() if line.endswith("\\\\")]
    assert len({line.count(" & ") for line in body}) == 1


def test_a_cell_of_latex_means_what_it_says():
    table = Table(caption="c", titles=("a_b", "x"), rows=(("[50 %]", "1.0 % [0.5, 2.0]"),))
    assert latex_table(table).splitlines()[5] == (r"{[}50 \%] & 1.0 \% {\scriptsize [0.5, 2.0]} \\")


@pytest.mark.slow
def test_the_full_report_keeps_tiers_apart_and_draws_what_protocols_have_in_common(tmp_path):
    write_full_report(tmp_path)
    content = (tmp_path / "out" / "report.html").read_text()
    StrictParser().feed(content)
    # Of each tier: a heat map, a click curve, and two plots for each of four protocols.
    assert content.count("<svg") == 2 * (2 + 2 * 4)
    assert content.count("How much depends on the prompt") == 2
    assert "other subjects of the sources that the model was trained on" in content
    assert "SAMUS paper, sources not trained on" in content
    assert "not measured" in content
    assert "k_clicks_03</h2>" not in content


@pytest.mark.slow
def test_the_report_of_an_automatic_model_shows_whether_presence_can_be_believed(tmp_path):
    write_automatic_report(tmp_path)
    content = (tmp_path / "out" / "report.html").read_text()
    assert content.count("<svg") == 4  # by category, by size, calibration, ROC
    assert "Brier score" in content
    assert "FP per empty image" in content


def test_published_figures_stand_beside_ours_by_source_and_category():
    rows = [
        make_record(key=str(at), subject=str(at), source=source, category=category, dice=at / 10)
        for at in range(4)
        for source, category in (
            ("thyroidnodule-tn3k", "thyroid_nodule"),
            ("echocardiography-camus", "left_atrium"),
            ("tn3k_extra", "thyroid_nodule"),
        )
    ]
    table = published_table(
        PUBLISHED["samus_us30k"], measured_rows(rows), bootstrap=BootstrapOptions()
    )
    lines = {row[0]: row for row in table.rows}
    assert table.titles[-3:] == ("SAMUS", "tier of ours", "measured here (published_click)")
    assert lines["TN3K"][-3:-1] == ("83.05", "unknown")
    assert lines["TN3K"][-1].startswith("15.00 [")
    assert lines["CAMUS LA"][-1] == lines["TN3K"][-1]
    assert lines["BUSI"][-2:] == ("not measured", "-")


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_figures_are_whole_and_say_what_is_not_comparable(name):
    figures = PUBLISHED[name]
    assert {len(means) for means in figures.dice.values()} <= {len(figures.structures)}
    assert len(figures.caveats) >= 3
    assert what_is_told(figures.protocol)


def test_cases_are_the_extremes_and_the_middle_without_repeating_an_image():
    rows = [
        make_record(key=f"{at // 2:02d}", object_index=at % 2, dice=at / 40) for at in range(40)
    ]
    cases = choose_cases(rows, count=3)
    dice = {group: [round(row.dice * 40) for row in chosen] for group, chosen in cases.items()}
    assert list(dice) == ["best", "median", "worst"]
    assert dice["best"] == [39, 37, 35]
    assert dice["worst"] == [0, 2, 4]
    assert all(16 <= value <= 23 for value in dice["median"])
    keys = [row.key for chosen in cases.values() for row in chosen]
    assert len(set(keys)) == 9


def test_a_small_evaluation_has_fewer_cases():
    cases = choose_cases([make_record()], count=3)
    assert [len(chosen) for chosen in cases.values()] == [0, 0, 1]


def test_a_case_is_predicted_as_it_was_scored(tmp_path):
    samples = [disk_sample("0"), disk_sample("1", num_disks=2, shape=(60, 50))]
    corpus = write_disk_corpus(tmp_path / "c", samples=samples)
    predictor, options = BrightnessPredictor(shift_rows=3), EvaluationOptions()
    records = evaluate_corpus(
        predictor, corpus, protocol="random_point", model_name="m", options=options
    )
    asked = list(predictor.asked)
    cases = predict_cases(records, predictor=predictor, corpora=[corpus], options=options)
    assert [case.answer.prompt for case in cases] == asked
    for case in cases:
        assert case.answer.predicted.sum() == case.record.predicted_pixels
        shared = case.answer.predicted & case.answer.reference
        assert shared.sum() == case.record.intersection_pixels


@pytest.mark.parametrize("protocol", ["k_clicks_03", "box_label_map"])
def test_a_case_of_several_steps_is_predicted_as_it_was_scored(tmp_path, protocol):
    corpus = write_disk_corpus(tmp_path / "c", samples=[disk_sample("0", num_disks=2)])
    predictor, options = BrightnessPredictor(shift_rows=3), EvaluationOptions(label_maps=True)
    asked = ["box", "k_clicks"]
    records = evaluate_corpus(predictor, corpus, protocol=asked, model_name="m", options=options)
    record = next(row for row in records if row.protocol == protocol)
    (case,) = predict_cases([record], predictor=predictor, corpora=[corpus], options=options)
    assert case.answer.predicted.sum() == record.predicted_pixels
    prompt = case.answer.prompt
    assert (prompt is None) == (protocol == "box_label_map")
    if prompt is not None:
        assert len(prompt.points) == 3


def test_cases_of_an_automatic_model_have_no_prompt(tmp_path):
    corpus = write_disk_corpus(tmp_path / "c", samples=[disk_sample("0")], categories=(DISK, RING))
    predictor = AutomaticBrightnessPredictor(categories=(DISK, RING))
    options = EvaluationOptions()
    records = evaluate_corpus(
        predictor, corpus, protocol="automatic", model_name="m", options=options
    )
    cases = predict_cases(records, predictor=predictor, corpora=[corpus], options=options)
    assert [case.answer.prompt for case in cases] == [None, None]
    assert [case.answer.reference.any() for case in cases] == [True, False]


def test_overlays_outline_both_masks_and_mark_the_prompt():
    shape = (50, 80)
    reference = disk_mask(shape=shape, centre=(25, 25), radius=10)
    predicted = disk_mask(shape=shape, centre=(25, 55), radius=10)
    answer = Answer(
        image=np.full(shape, 90, dtype=np.uint8),
        reference=reference,
        predicted=predicted,
        prompt=ImagePrompt(points=((25.0, 25.0),), point_labels=(1,)),
    )
    picture = draw_answer(answer, longest_side=400)
    assert picture.size == (400, 250)
    pixels = np.asarray(picture)

    def rows_and_columns(colour):
        return np.argwhere((pixels == colour).all(axis=-1)) / 5

    for colour, centre in [(REFERENCE_COLOUR, 25.5), (PREDICTION_COLOUR, 55.5)]:
        found = rows_and_columns(colour)
        assert found.mean(axis=0) == pytest.approx((25.5, centre), abs=1.0)
        assert np.hypot(*(found - (25.5, centre)).T).min() > 8
    assert rows_and_columns(PROMPT_COLOUR).mean(axis=0) == pytest.approx((25.5, 25.5), abs=0.5)


def test_overlays_keep_the_pixels_that_no_outline_covers():
    image = np.full((20, 20, 3), (10, 200, 30), dtype=np.uint8)
    nothing = np.zeros((20, 20), dtype=bool)
    answer = Answer(image=image, reference=nothing, predicted=nothing, prompt=None)
    picture = draw_answer(answer)
    assert isinstance(picture, Image.Image)
    assert (np.asarray(picture) == (10, 200, 30)).all()


def test_tables_show_intervals_and_directions():
    rows = [
        make_record(key=str(at), subject=str(at), dice=0.5 + at / 10, category=f"c{at % 2}")
        for at in range(4)
    ]
    summary = summarise(rows)
    overall, by_category = tables_of(summary)
    assert overall.titles[1:5] == ("rows", "subjects", "Dice \u2191", "IoU \u2191")
    assert "HD95 (px) \u2193" in overall.titles
    assert "HD95 (mm) \u2193" not in overall.titles
    assert overall.rows[0][3] == format_interval("dice", summary.overall.metrics["dice"])
    assert re.fullmatch(r"0\.650 \[0\.\d{3}, 0\.\d{3}\]", overall.rows[0][3])
    assert [row[0] for row in by_category.rows] == ["c0", "c1"]
    lines = markdown_table(overall).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert terminal_table(summary).row_count == 3
    clicks = [
        dataclasses.replace(summary, protocol=name) for name in ("k_clicks_01", "k_clicks_02")
    ]
    assert terminal_overview([summary, *clicks]).row_count == 2  # not after two clicks


def test_a_bound_that_rounds_to_zero_has_no_sign():
    interval = Interval(mean=0.05, lower=-1e-17, upper=0.1, num_rows=9, num_subjects=3)
    assert format_interval("miss_rate", interval) == "5.0 % [0.0, 10.0]"
    assert format_interval("dice", interval) == "0.050 [0.000, 0.100]"


def test_a_figure_says_when_it_leaves_out_rows():
    assert "every n-th is drawn" in figure_key(MOST_POINTS + 1)
    assert "every n-th is drawn" not in figure_key(MOST_POINTS)


def test_intervals_of_one_subject_are_left_out_of_the_tables():
    summary = summarise([make_record()])
    assert format_interval("dice", summary.overall.metrics["dice"]) == "0.900"
    assert format_interval("detection_rate", summary.overall.metrics["detection_rate"]) == "100.0 %"
    assert format_interval("dice", None) == "-"
