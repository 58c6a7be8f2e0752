import numpy as np
import pytest
import torch

from evaluation import ImagePrompt, SegmenterPredictor
from evaluation.prediction import image_to_tensor
from model import ImageFeatures, MaskPrediction, Segmenter, build_segmenter
from model.config import SamusArchitecture

CLICK = ImagePrompt(points=((20.0, 30.0),), point_labels=(1,))
CLICKS = ImagePrompt(points=((20.0, 30.0), (3.0, 4.0)), point_labels=(1, 0))
BOX = ImagePrompt(box=(9.5, 11.5, 39.5, 43.5))
BOTH = ImagePrompt(points=((20.0, 30.0),), point_labels=(1,), box=(9.5, 11.5, 39.5, 43.5))


class DotSegmenter(Segmenter):
    """Stand-in for a model: marks the framed pixel at each prompt's first point."""

    def encode(self, images):
        self.num_encoded = getattr(self, "num_encoded", 0) + len(images)
        return ImageFeatures(embedding=images)

    def decode(self, features, prompts=None, multimask=None):
        assert prompts is not None
        self.prompts = prompts
        side = self.architecture.input_size
        logits = torch.full((prompts.num_prompts, 1, side, side), -1.0)
        assert prompts.points is not None
        for row, (x, y) in enumerate(prompts.points[:, 0].round().long().tolist()):
            logits[row, 0, y, x] = 50.0
        return MaskPrediction(low_resolution_logits=logits)


def images_of(*shapes, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, size=shape, dtype=np.uint8) for shape in shapes]


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return build_segmenter("samus_tiny")


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("shape", [(64, 64), (100, 60), (48, 90)])
def test_a_click_reaches_the_pixel_that_was_clicked(fit, shape):
    segmenter = DotSegmenter(SamusArchitecture(input_size=64, fit=fit))
    predictor = SegmenterPredictor(segmenter)
    prompt = ImagePrompt(points=((20.0, 30.0),), point_labels=(1,))
    (logits,) = predictor.predict(images_of(shape), [[prompt]])
    assert logits.shape == (1, *shape)
    row, column = np.unravel_index(logits[0].argmax(), shape)
    assert abs(row - 30) <= 1
    assert abs(column - 20) <= 1


def test_a_box_becomes_two_labelled_corners_and_short_prompts_are_filled_up():
    segmenter = DotSegmenter(SamusArchitecture(input_size=64))
    SegmenterPredictor(segmenter).predict(images_of((64, 64)), [[CLICK, BOX, BOTH]])
    points, labels = segmenter.prompts.points, segmenter.prompts.point_labels
    assert points is not None
    assert labels is not None
    assert labels.tolist() == [[1, -1, -1], [2, 3, -1], [1, 2, 3]]
    assert points[1, :2].tolist() == [[9.5, 11.5], [39.5, 43.5]]
    assert points[0, 0].tolist() == [20.0, 30.0]


def test_an_image_is_encoded_once_for_all_its_prompts_and_not_without_any():
    segmenter = DotSegmenter(SamusArchitecture(input_size=64))
    images = images_of((64, 64), (70, 64), (64, 80))
    answers = SegmenterPredictor(segmenter).predict(images, [[CLICK, CLICKS, BOX], [], [BOX]])
    assert [answer.shape for answer in answers] == [(3, 64, 64), (0, 70, 64), (1, 64, 80)]
    assert segmenter.num_encoded == 2


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_answers_do_not_depend_on_the_batch(tiny, batch_size):
    images = images_of((50, 60), (64, 64, 3), (90, 50), (53, 67))
    prompts = [[CLICK, BOX], [BOTH], [CLICKS, CLICK, BOX], [BOX]]
    together = SegmenterPredictor(tiny, batch_size=batch_size).predict(images, prompts)
    for image, questions, answers in zip(images, prompts, together, strict=True):
        assert answers.dtype == np.float32
        for question, answer in zip(questions, answers, strict=True):
            (alone,) = SegmenterPredictor(tiny).predict([image], [[question]])
            assert answer == pytest.approx(alone[0], abs=1e-4)


def test_a_prompt_outside_of_the_image_is_refused(tiny):
    outside = ImagePrompt(points=((70.0, 30.0),), point_labels=(1,))
    with pytest.raises(ValueError, match=r"outside of the framed image of 64 x 64 pixels"):
        SegmenterPredictor(tiny).predict(images_of((64, 64)), [[outside]])


def test_prompts_change_the_answer(tiny):
    (answers,) = SegmenterPredictor(tiny).predict(images_of((64, 64)), [[CLICK, BOX]])
    assert not np.allclose(answers[0], answers[1])


def test_bfloat16_answers_in_float32_near_the_float32_ones(tiny):
    images = images_of((64, 64))
    exact = SegmenterPredictor(tiny).predict(images, [[CLICK]])[0]
    rough = SegmenterPredictor(tiny, precision="bfloat16").predict(images, [[CLICK]])[0]
    assert rough.dtype == np.float32
    assert np.corrcoef(exact.ravel(), rough.ravel())[0, 1] > 0.95
    assert not np.array_equal(exact, rough)


def test_the_best_rated_candidate_is_the_answer():
    class TwoCandidates(DotSegmenter):
        def decode(self, features, prompts=None, multimask=None):
            logits = torch.stack(
                [torch.full((2, 64, 64), -1.0), torch.full((2, 64, 64), 1.0)], dim=1
            )
            return MaskPrediction(
                low_resolution_logits=logits, predicted_iou=torch.tensor([[0.9, 0.1], [0.2, 0.8]])
            )

    predictor = SegmenterPredictor(TwoCandidates(SamusArchitecture(input_size=64)))
    (answers,) = predictor.predict(images_of((64, 64)), [[CLICK, CLICK]])
    assert (answers[0].max(), answers[1].max()) == (-1.0, 1.0)


def test_grey_images_beside_coloured_ones_become_coloured():
    (grey,) = images_of((5, 6))
    tensor = image_to_tensor(grey, num_channels=3)
    assert tensor.shape == (3, 5, 6)
    assert torch.equal(tensor[0], tensor[2])
    (coloured,) = images_of((5, 6, 3))
    tensor = image_to_tensor(coloured, num_channels=3)
    assert tensor[1, 2, 3] == pytest.approx(coloured[2, 3, 1] / 255)


@pytest.mark.slow
def test_automatic_models_answer_every_category_of_every_image():
    categories = ("disk", "ring", "bar")
    segmenter = build_segmenter("unet_tiny", categories=categories)
    predictor = SegmenterPredictor(segmenter, batch_size=2)
    assert predictor.is_automatic
    assert predictor.categories == categories
    images = images_of((64, 70), (40, 30), (64, 64))
    answers = predictor.predict_automatic(images)
    assert [answer.logits.shape for answer in answers] == [(3, 64, 70), (3, 40, 30), (3, 64, 64)]
    (alone,) = SegmenterPredictor(segmenter).predict_automatic(images[1:2])
    assert answers[1].logits == pytest.approx(alone.logits, abs=1e-4)
    assert alone.presence_logits is None
