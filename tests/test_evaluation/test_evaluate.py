import math

import numpy as np
import pytest

from evaluation import (
    CategoryAnswers,
    EvaluationOptions,
    ScoringOptions,
    evaluate_corpus,
    gather_records,
)
from evaluation.answers import label_map
from evaluation.records import WHOLE_CATEGORY
from tests.support.disk_corpus import (
    DISK,
    RING,
    AutomaticBrightnessPredictor,
    BrightnessPredictor,
    disk_sample,
    write_disk_corpus,
)


def evaluate(predictor, corpus, *, protocol=None, **how):
    usual = "automatic" if predictor.is_automatic else "published_click"
    return evaluate_corpus(
        predictor, corpus, protocol=protocol or usual, model_name="bright", **how
    )


@pytest.fixture
def corpus(tmp_path):
    samples = [
        disk_sample("0", subject="a", num_disks=2, spacing=(0.5, 0.25)),
        disk_sample("1", num_disks=0),
        disk_sample("2", subject="a", shape=(30, 60)),
        disk_sample("3", subject="b"),
        disk_sample("4", subject="b", num_disks=3),
        disk_sample("5", source="others", subject="b"),
        disk_sample("6", source="others"),
    ]
    return write_disk_corpus(tmp_path / "corpus", samples=samples)


def test_every_object_has_one_row_and_every_image_is_asked_once(corpus):
    predictor = BrightnessPredictor()
    records = evaluate(predictor, corpus)
    assert [(row.key, row.object_index) for row in records] == [
        ("disks__0", 0),
        ("disks__0", 1),
        ("disks__2", 0),
        ("disks__3", 0),
        ("disks__4", 0),
        ("disks__4", 1),
        ("disks__4", 2),
        ("others__5", 0),
        ("others__6", 0),
    ]
    assert predictor.num_images == corpus.num_samples
    assert len(predictor.asked) == 9


def test_a_perfect_answer_has_perfect_scores(corpus):
    for row in evaluate(BrightnessPredictor(), corpus):
        assert (row.dice, row.iou, row.hd95_pixels, row.normalised_surface_dice) == (1, 1, 0, 1)
        assert row.is_detected
        assert row.split == "test"


def test_a_shifted_answer_is_as_far_away_as_it_was_shifted(corpus):
    row = evaluate(BrightnessPredictor(shift_rows=4), corpus)[0]
    assert 3.0 < row.hd95_pixels <= 4.0
    assert row.hd95_millimetres == pytest.approx(0.5 * row.hd95_pixels, rel=0.2)
    assert 0.5 < row.dice < 0.9
    assert row.reference_pixels == row.predicted_pixels > row.intersection_pixels > 0
    assert row.dice == pytest.approx(2 * row.intersection_pixels / (2 * row.reference_pixels))


def test_millimetres_are_unknown_where_the_spacing_is(corpus):
    with_spacing, without = evaluate(BrightnessPredictor(), corpus)[1:3]
    assert with_spacing.hd95_millimetres == 0.0
    assert with_spacing.spacing_row_millimetres == 0.5
    assert math.isnan(without.hd95_millimetres)
    assert math.isnan(without.normalised_surface_dice_millimetres)
    assert math.isnan(without.spacing_row_millimetres)


def test_a_miss_counts_with_the_diagonal_and_is_not_detected(corpus):
    row = evaluate(BrightnessPredictor(finds_nothing=True), corpus)[0]
    assert row.hd95_pixels == row.image_diagonal_pixels == pytest.approx(math.hypot(40, 48))
    assert row.hd95_millimetres == pytest.approx(math.hypot(40 * 0.5, 48 * 0.25))
    assert row.average_surface_distance_pixels == row.image_diagonal_pixels
    assert (row.dice, row.normalised_surface_dice, row.is_detected) == (0, 0, False)
    assert row.is_miss


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("images_per_batch", [1, 2, 3])
def test_ranks_together_measure_what_one_rank_measures(corpus, num_ranks, images_per_batch):
    options = EvaluationOptions(images_per_batch=images_per_batch)
    predictor = BrightnessPredictor(shift_rows=2)
    whole = gather_records([evaluate(predictor, corpus, protocol="random_point")])
    of_ranks = [
        evaluate(
            predictor,
            corpus,
            protocol="random_point",
            rank=rank,
            num_ranks=num_ranks,
            options=options,
        )
        for rank in range(num_ranks)
    ]
    joined = gather_records(of_ranks)
    assert [repr(row) for row in joined] == [repr(row) for row in whole]


def test_random_points_are_the_same_for_any_ranks(corpus):
    alone, first, second = BrightnessPredictor(), BrightnessPredictor(), BrightnessPredictor()
    evaluate(alone, corpus, protocol="random_point")
    one_each = EvaluationOptions(images_per_batch=1)
    for rank, predictor in enumerate([first, second]):
        evaluate(
            predictor, corpus, protocol="random_point", rank=rank, num_ranks=2, options=one_each
        )
    assert sorted(alone.asked, key=repr) == sorted(first.asked + second.asked, key=repr)
    assert len(set(alone.asked)) > 1


def test_an_automatic_model_has_a_row_for_every_annotated_category(tmp_path):
    samples = [disk_sample("0", num_disks=2), disk_sample("1", num_disks=0)]
    corpus = write_disk_corpus(tmp_path / "c", samples=samples, categories=(DISK, RING))
    predictor = AutomaticBrightnessPredictor(categories=(DISK, RING, "other"))
    rows = {(row.key, row.category): row for row in evaluate(predictor, corpus)}
    assert len(rows) == 4
    found = rows["disks__0", DISK]
    assert (found.dice, found.object_index, found.num_components) == (1.0, WHOLE_CATEGORY, 2)
    absent = rows["disks__0", RING]
    assert absent.reference_pixels == absent.predicted_pixels == 0
    assert math.isnan(absent.dice)
    assert math.isnan(absent.hd95_pixels)
    assert not absent.is_false_positive


def test_a_false_positive_of_an_automatic_model_has_a_row(tmp_path):
    samples = [disk_sample("0", num_disks=1)]
    corpus = write_disk_corpus(tmp_path / "c", samples=samples, categories=(DISK, RING))
    predictor = AutomaticBrightnessPredictor(categories=(RING, DISK))  # calls the disk a ring
    ring = next(row for row in evaluate(predictor, corpus) if row.category == RING)
    assert ring.is_false_positive
    assert (ring.dice, ring.hd95_pixels) == (0.0, ring.image_diagonal_pixels)


def test_chosen_categories_are_asked_about_alone(tmp_path):
    corpus = write_disk_corpus(tmp_path / "c", samples=[disk_sample("0")], categories=(DISK, RING))
    predictor = AutomaticBrightnessPredictor(categories=(DISK,))
    rows = evaluate(predictor, corpus, options=EvaluationOptions(categories=(DISK,)))
    assert [row.category for row in rows] == [DISK]


def test_a_quick_look_is_spread_over_the_corpus(corpus):
    rows = evaluate(BrightnessPredictor(), corpus, options=EvaluationOptions(max_images=2))
    assert [row.key for row in rows] == ["disks__0", "disks__0", "disks__3"]


def test_tolerance_and_detection_follow_the_options(corpus):
    predictor = BrightnessPredictor(shift_rows=4)
    lax = ScoringOptions(surface_tolerance_pixels=4.0, detection_iou=0.1)
    strict = ScoringOptions(surface_tolerance_pixels=0.0, detection_iou=0.99)
    lax_row = evaluate(predictor, corpus, options=EvaluationOptions(scoring=lax))[0]
    strict_row = evaluate(predictor, corpus, options=EvaluationOptions(scoring=strict))[0]
    assert lax_row.normalised_surface_dice == 1.0
    assert lax_row.is_detected
    assert strict_row.normalised_surface_dice < 0.5
    assert not strict_row.is_detected


def test_several_protocols_read_the_images_once(corpus):
    predictor = BrightnessPredictor()
    together = evaluate(predictor, corpus, protocol=["box", "centre_point"])
    assert {row.protocol for row in together} == {"box", "centre_point"}
    for protocol in ("box", "centre_point"):
        alone = evaluate(BrightnessPredictor(), corpus, protocol=protocol)
        mine = [row for row in together if row.protocol == protocol]
        assert list(map(repr, mine)) == list(map(repr, alone))


def test_clicks_follow_the_error_and_each_has_rows(corpus):
    predictor = BrightnessPredictor(shift_rows=4)
    rows = evaluate(predictor, corpus, protocol="k_clicks")
    assert {row.protocol for row in rows} == {f"k_clicks_{count:02}" for count in range(1, 11)}
    assert len(rows) == 10 * 9
    first = [prompt for prompt in predictor.asked if len(prompt.points) == 1]
    last = [prompt for prompt in predictor.asked if len(prompt.points) == 10]
    assert (len(first), len(last)) == (9, 9)
    # The answer stays shifted down, so that what is missing and what is too much stay as deep.
    assert all(prompt.point_labels[:2] == (1, 1) for prompt in last)


def test_a_perfect_answer_gets_no_further_click(corpus):
    predictor = BrightnessPredictor()
    evaluate(predictor, corpus, protocol="k_clicks")
    assert {len(prompt.points) for prompt in predictor.asked} == {1}


def two_categories(folder):
    samples = [disk_sample("0"), disk_sample("1", num_disks=0)]
    return write_disk_corpus(folder / "c", samples=samples, categories=(DISK, RING))


def test_boxes_of_a_detector_tell_nothing_of_the_ground_truth(tmp_path):
    corpus = two_categories(tmp_path)
    detector = AutomaticBrightnessPredictor(categories=(RING, DISK), presence_logits=(2.0, -3.0))
    predictor = BrightnessPredictor()
    rows = evaluate(
        predictor, corpus, protocol="detector_box", options=EvaluationOptions(detector=detector)
    )
    found = {(row.key, row.category): row for row in rows}
    assert len(found) == 4
    assert all(row.object_index == WHOLE_CATEGORY for row in rows)
    # What the detector calls a ring, the prompted model outlines, and the disk goes without a box.
    assert len(predictor.asked) == 1
    assert found["disks__0", RING].is_false_positive
    assert found["disks__0", DISK].is_miss
    assert found["disks__0", DISK].presence_logit == -3.0
    assert found["disks__1", RING].predicted_pixels == 0


def test_a_detector_that_is_none_is_refused(corpus):
    with pytest.raises(ValueError, match=r"none is given\. Name one with detector=RUN"):
        evaluate(BrightnessPredictor(), corpus, protocol="detector_box")
    prompted = EvaluationOptions(detector=BrightnessPredictor())
    with pytest.raises(ValueError, match="the one given takes prompts"):
        evaluate(BrightnessPredictor(), corpus, protocol="detector_box", options=prompted)
    other = EvaluationOptions(detector=AutomaticBrightnessPredictor(categories=(RING,)))
    with pytest.raises(ValueError, match="which the detector does not know"):
        evaluate(BrightnessPredictor(), corpus, protocol="detector_box", options=other)


class TwoCategoriesPredictor(AutomaticBrightnessPredictor):
    """Calls the disk a disk with logit 1, and its upper half a ring with logit 2."""

    def predict_automatic(self, images):
        answers = []
        for image in images:
            logits = np.where(image > 120, 1.0, -1.0) * np.ones((2, 1, 1))
            logits[1, : image.shape[0] // 2] *= 2.0
            logits[1, image.shape[0] // 2 :] = -1.0
            answers.append(CategoryAnswers(logits=logits))
        return answers


def test_a_label_map_gives_each_pixel_to_the_highest_logit(tmp_path):
    corpus = two_categories(tmp_path)
    rows = evaluate(
        TwoCategoriesPredictor(categories=(DISK, RING)),
        corpus,
        options=EvaluationOptions(label_maps=True),
    )
    found = {(row.protocol, row.key, row.category): row for row in rows}
    assert len(found) == 8
    alone = found["automatic", "disks__0", DISK]
    merged = found["automatic_label_map", "disks__0", DISK]
    ring = found["automatic_label_map", "disks__0", RING]
    assert alone.dice == 1.0
    assert merged.predicted_pixels + ring.predicted_pixels == alone.predicted_pixels
    assert 0 < merged.intersection_pixels == merged.predicted_pixels < alone.predicted_pixels
    assert found["automatic_label_map", "disks__1", RING].predicted_pixels == 0


def test_a_label_map_unites_the_objects_of_a_category(corpus):
    options = EvaluationOptions(label_maps=True)
    rows = evaluate(BrightnessPredictor(), corpus, protocol="box", options=options)
    merged = [row for row in rows if row.protocol == "box_label_map"]
    assert [(row.key, row.object_index, row.dice) for row in merged] == [
        (f"{source}__{name}", WHOLE_CATEGORY, 1.0)
        for source, names in (("disks", "0234"), ("others", "56"))
        for name in names
    ]


def test_the_label_map_itself_says_where_nothing_was_found():
    logits = np.array([[[1.0, -1.0, 3.0]], [[2.0, -2.0, 0.5]]])
    assert label_map(logits).tolist() == [[1, -1, 0]]


def test_a_split_without_objects_is_refused(tmp_path):
    corpus = write_disk_corpus(tmp_path / "c", samples=[disk_sample("0", num_disks=0)])
    with pytest.raises(ValueError, match=r"no object to evaluate in 1 images.*Give a split"):
        evaluate(BrightnessPredictor(), corpus)


def test_an_empty_corpus_is_refused(tmp_path):
    corpus = write_disk_corpus(tmp_path / "c", samples=[])
    with pytest.raises(ValueError, match="no object to evaluate in 0 images"):
        evaluate(AutomaticBrightnessPredictor(categories=(DISK,)), corpus)


def test_categories_that_an_automatic_model_does_not_know_are_named(corpus):
    with pytest.raises(ValueError, match=rf"annotates {DISK}, which bright does not know"):
        evaluate(AutomaticBrightnessPredictor(categories=(RING,)), corpus)


@pytest.mark.parametrize("is_automatic", [True, False])
def test_a_protocol_of_the_other_kind_is_refused(corpus, is_automatic):
    predictor = (
        AutomaticBrightnessPredictor(categories=(DISK,)) if is_automatic else BrightnessPredictor()
    )
    protocol = "box" if is_automatic else "automatic"
    with pytest.raises(ValueError, match=rf"'{protocol}' does not fit bright"):
        evaluate(predictor, corpus, protocol=protocol)


def test_an_unknown_protocol_is_refused(corpus):
    with pytest.raises(ValueError, match="no protocol 'guess'"):
        evaluate(BrightnessPredictor(), corpus, protocol="guess")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("is_automatic", [True, False])
def test_an_answer_that_is_not_finite_is_refused_and_not_counted_as_a_miss(
    tmp_path, is_automatic, value
):
    samples = [disk_sample("0", num_disks=0), disk_sample("1", shape=(40, 48))]
    corpus = write_disk_corpus(tmp_path / "c", samples=samples[not is_automatic :])
    predictor = (
        AutomaticBrightnessPredictor(categories=(DISK,), first_logit=value)
        if is_automatic
        else BrightnessPredictor(first_logit=value)
    )
    key = "disks__0" if is_automatic else "disks__1"
    with pytest.raises(ValueError, match=rf"{key}: 1 of the 1920 logits that bright answers with"):
        evaluate(predictor, corpus)
