"""A real MLflow server hands a champion to an environment that has none of this repository."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation import DeployablePredictor, HeldOutResult, evaluate_corpus, register_deployable
from shards import open_corpus
from tests.support.bare_environment import add_packages, make_bare_environment
from tests.support.corpora import write_toy_corpus
from tests.support.disc_deployable import write_disc_deployable
from tests.support.mlflow_server import running_mlflow_server

pytestmark = [
    pytest.mark.services,
    # SQLAlchemy on what MLflow's own tables use.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
]

PULL = """
import importlib.util, sys
from mlflow.artifacts import download_artifacts
download_artifacts("models:/toy@champion", dst_path="pulled")
for name in ("torch", "pandas", "evaluation", "flask", "sqlalchemy"):
    assert importlib.util.find_spec(name) is None, name
"""

SEGMENT_BY_FOLDER = """
import sys
from pathlib import Path
(folder,) = Path("pulled").glob("artifacts/*/")
sys.path.insert(0, str(folder))
from predict import Segmenter
mask = Segmenter(folder).segment("image.png", points=[(30, 20)])[0]
assert mask.shape == (40, 60) and mask[20, 30] and not mask[0, 0]
"""

SEGMENT_BY_PYFUNC = """
import mlflow.pyfunc, numpy as np
answer = mlflow.pyfunc.load_model("pulled").predict({
    "images": np.zeros((2, 40, 60, 3), np.uint8),
    "image_index": np.array([1, 0, 1]),
    "points": np.array([[[30.0, 20], [0, 0]], [[5, 6], [0, 0]], [[9, 9], [20, 30]]]),
    "point_labels": np.array([[1, -1], [1, -1], [2, 3]]),
})
masks = answer["masks"]
assert masks.shape == (3, 40, 60) and masks[0, 20, 30] == 1 and masks[1, 6, 5] == 1
"""


@contextlib.contextmanager
def champion_on_a_server(folder):
    write_toy_corpus(str(folder / "corpus"), num_samples=4)
    corpus = open_corpus(str(folder / "corpus"))
    disc = write_disc_deployable(folder / "disc", radius=7.0)
    records = evaluate_corpus(
        DeployablePredictor(disc), corpus, protocol="centre_point", model_name="disc"
    )
    result = HeldOutResult(corpus=corpus, protocol="centre_point", records=records)
    with running_mlflow_server(folder / "server") as server:
        made = register_deployable(disc, name="toy", result=result, tracking_uri=server.uri)
        assert made.promotion.is_champion
        yield server


def run(python, script, *, folder, **environment):
    answer = subprocess.run(
        [python, "-P", "-c", script],
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_a_bare_environment_pulls_the_champion_and_segments_when_the_server_is_gone(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    python = make_bare_environment(
        elsewhere / "env", "mlflow-skinny", "onnxruntime", "numpy", "pillow"
    )
    Image.new("RGB", (60, 40)).save(elsewhere / "image.png")
    with champion_on_a_server(tmp_path) as server:
        run(python, PULL, folder=elsewhere, MLFLOW_TRACKING_URI=server.uri)
    run(python, SEGMENT_BY_FOLDER, folder=elsewhere)
    add_packages(elsewhere / "env", "pandas")
    run(python, SEGMENT_BY_PYFUNC, folder=elsewhere)


def test_mlflow_serves_the_champion_to_whoever_posts_an_image(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/toy@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inputs = {
        "images": np.zeros((1, 40, 60, 3), np.uint8).tolist(),
        "image_index": [0],
        "points": [[[30.0, 20.0]]],
        "point_labels": [[1]],
    }
    with champion_on_a_server(tmp_path) as server, (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--workers", "1"],
            # It starts a shell that looks for uvicorn, beside this interpreter or nowhere.
            env=os.environ | {"MLFLOW_TRACKING_URI": server.uri, "PATH": path},
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            start_new_session=True,
        )
        try:
            wait_for(f"{address}/ping", process=process, log=tmp_path / "serve.log")
            request = urllib.request.Request(
                f"{address}/invocations",
                data=json.dumps({"inputs": inputs}).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=120) as answer:
                masks = np.array(json.load(answer)["predictions"]["masks"])
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)
    assert masks.shape == (1, 40, 60)
    assert masks[0, 20, 30] == 1
    assert masks[0, 0, 0] == 0


def wait_for(address, *, process, log):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"no answer from {address}: {log.read_text()}")
