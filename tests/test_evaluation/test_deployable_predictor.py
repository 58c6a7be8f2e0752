import numpy as np
import pytest

from evaluation import DeployablePredictor, ImagePrompt, evaluate_corpus
from shards import open_corpus
from tests.support.corpora import write_toy_corpus
from tests.support.disc_deployable import write_disc_deployable


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return DeployablePredictor(write_disc_deployable(tmp_path_factory.mktemp("model") / "disc"))


def test_a_prompt_of_an_evaluation_lands_on_its_pixel(predictor):
    prompt = ImagePrompt(points=((20.0, 10.0),), point_labels=(1,))
    image = np.zeros((64, 64), dtype=np.uint8)
    logits = predictor.predict([image], [[prompt]])[0]
    assert np.unravel_index(logits[0].argmax(), image.shape) == (10, 20)


def test_an_image_that_nothing_is_asked_about_has_no_logits(predictor):
    images = [np.zeros((9, 11), dtype=np.uint8), np.zeros((12, 10, 3), dtype=np.uint8)]
    box = ImagePrompt(box=(1.0, 2.0, 5.0, 6.0))
    answers = predictor.predict(images, [[], [box, box]])
    assert [answer.shape for answer in answers] == [(0, 9, 11), (2, 12, 10)]


def test_a_threshold_other_than_zero_is_moved_to_zero(tmp_path, predictor):
    shifted = DeployablePredictor(write_disc_deployable(tmp_path / "disc", threshold_logit=5.0))
    image, prompt = np.zeros((30, 30), dtype=np.uint8), ImagePrompt(box=(1.0, 2.0, 5.0, 6.0))
    np.testing.assert_array_equal(
        shifted.predict([image], [[prompt]])[0], predictor.predict([image], [[prompt]])[0] - 5.0
    )


def test_a_prompted_model_does_not_answer_by_category(predictor):
    with pytest.raises(ValueError, match="call segment, with a prompt"):
        predictor.predict_automatic([np.zeros((9, 9), dtype=np.uint8)])


def test_a_deployable_is_evaluated_like_any_model(tmp_path, predictor):
    write_toy_corpus(str(tmp_path), num_samples=3)
    records = evaluate_corpus(
        predictor, open_corpus(str(tmp_path)), protocol="centre_point", model_name="disc"
    )
    assert len(records) == 3
    # A disc of radius 8 / 64 of the image around the centre of an 8 x 8 square of 24 x 32 pixels.
    area = np.pi * (8 / 64) ** 2 * 24 * 32
    assert [record.predicted_pixels for record in records] == pytest.approx([area] * 3, rel=0.4)
    assert min(record.dice for record in records) > 0.6
