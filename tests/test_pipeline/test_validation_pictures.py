"""Pictures of a validation show what was scored, in the colours of the reports."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import PREDICTION_COLOUR, REFERENCE_COLOUR, ImagePrompt, SegmenterPredictor
from pipeline.pretraining import pretrain
from shards import open_corpus
from tests.support.nano_run import nano_config


def test_pictures_are_asked_with_the_very_clicks_that_were_scored(
    nano_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[ImagePrompt]] = []
    original = SegmenterPredictor.predict

    def noting(self: SegmenterPredictor, images: list, prompts: list) -> list[np.ndarray]:
        asked.extend(list(one) for one in prompts)
        return original(self, images, prompts)

    monkeypatch.setattr(SegmenterPredictor, "predict", noting)
    corpus = open_corpus(str(nano_corpora / "validation"))
    count = corpus.num_samples
    words = (
        f"data.validation={corpus.url}",
        "validation.protocol=random_point",
        f"validation.num_pictures={count}",
        "run.max_steps=1",
    )
    pretrain(nano_config(nano_corpora, root=tmp_path, words=words))
    assert len(asked) == 2 * count
    assert asked[:count] == asked[count:]
    assert len({one.points for of_image in asked for one in of_image}) > 1
    paths = sorted((tmp_path / "nano" / "report" / "pictures" / "step-00000001").glob("*.png"))
    assert len(paths) == count
    colours = {tuple(one) for path in paths for one in np.asarray(Image.open(path)).reshape(-1, 3)}
    assert {REFERENCE_COLOUR, PREDICTION_COLOUR} <= colours
