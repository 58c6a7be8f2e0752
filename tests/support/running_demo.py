"""The demo's server on a free port of this machine, in a thread of the test."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from evaluation import CategoryAnswers, DemoServer, DeployablePredictor
from tests.support.disc_deployable import write_disc_deployable


class TwoHalves(DeployablePredictor):
    """Finds, without being asked, the left and the right half of every image."""

    @property
    def is_automatic(self) -> bool:
        """It takes no prompts."""
        return True

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the halves."""
        return ("left", "right")

    def predict_automatic(self, images: Sequence[np.ndarray]) -> list[CategoryAnswers]:
        """Return 1 in a half and -1 in the other."""
        answers = []
        for image in images:
            is_left = np.arange(image.shape[1]) < image.shape[1] // 2
            left = np.where(np.broadcast_to(is_left, image.shape[:2]), 1.0, -1.0)
            answers.append(CategoryAnswers(logits=np.stack([left, -left])))
        return answers


def disc_folder(folder: Path) -> Path:
    """Write a model that draws a disc around the first point, and return where."""
    return write_disc_deployable(folder / "disc", categories=["thyroid", "nodule"])


@contextmanager
def running_demo(predictor: DeployablePredictor) -> Iterator[DemoServer]:
    """Serve until the block ends, and leave no thread behind."""
    with DemoServer(predictor, name="disc", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
