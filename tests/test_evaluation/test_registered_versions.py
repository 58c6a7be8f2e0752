"""What a registered version holds: its tags, its tensors, no names, and a model that answers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from evaluation import (
    DeployablePredictor,
    HeldOutResult,
    evaluate_corpus,
    read_records,
    register_deployable,
)
from evaluation.deployable.predict import Segmenter
from evaluation.registry.row_names import without_names
from tests.support.bright_deployable import write_bright_deployable
from tests.support.disc_deployable import write_disc_deployable
from tests.support.evaluation_records import make_record
from tests.support.named_corpus import PATIENTS, write_named_corpus

TENSORS = {
    "prompted": {
        "images": ("uint8", (-1, -1, -1, 3)),
        "image_index": ("int64", (-1,)),
        "points": ("float64", (-1, -1, 2)),
        "point_labels": ("int64", (-1, -1)),
    },
    "automatic": {"images": ("uint8", (-1, -1, -1, 3))},
}
ANSWERS = {
    "prompted": {"masks": ("uint8", (-1, -1, -1))},
    "automatic": {
        "masks": ("uint8", (-1, -1, -1, -1)),
        "label_map": ("uint8", (-1, -1, -1)),
        "presence": ("float32", (-1, -1)),
    },
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_named_corpus(str(tmp_path_factory.mktemp("corpus")))


def write_deployable(folder, kind):
    if kind == "automatic":
        return write_bright_deployable(folder, categories=("square", "other"))
    return write_disc_deployable(folder, config_hash="5eed")


def register(folder, corpus, *, uri):
    predictor = DeployablePredictor(folder, num_threads=1)
    protocol = "automatic" if predictor.is_automatic else "centre_point"
    records = evaluate_corpus(predictor, corpus, protocol=protocol, model_name="toy")
    result = HeldOutResult(corpus=corpus, protocol=protocol, records=records)
    return register_deployable(folder, name="toy", result=result, tracking_uri=uri)


def half_bright_images():
    images = np.zeros((2, 40, 60, 3), np.uint8)
    images[0, :, :30] = images[1, :, 30:] = 255
    return images


def tensors_of(schema):
    return {one.name: (one.type.name, one.shape) for one in schema.inputs}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
@pytest.mark.parametrize("kind", ["prompted", "automatic"])
def test_a_version_tells_its_tensors_and_answers_its_own_example(
    tmp_path, corpus, uri, monkeypatch, kind
):
    import mlflow  # noqa: PLC0415 -- takes seconds

    folder = write_deployable(tmp_path / kind, kind)
    version = register(folder, corpus, uri=uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tags = mlflow.MlflowClient(uri).get_model_version("toy", version.version).tags
    assert tags["config_hash"] == ("5eed" if kind == "prompted" else "None")
    model = mlflow.pyfunc.load_model("models:/toy@champion")
    signature = model.metadata.signature
    assert tensors_of(signature.inputs) == TENSORS[kind]
    assert tensors_of(signature.outputs) == ANSWERS[kind]
    example = model.input_example
    assert example is not None
    assert example.keys() == TENSORS[kind].keys()
    answers = model.predict(example)
    assert {name: str(one.dtype) for name, one in answers.items()} == {
        name: dtype for name, (dtype, _) in ANSWERS[kind].items()
    }
    if kind == "automatic":
        found = model.predict({"images": half_bright_images()})
        is_left = np.broadcast_to(np.arange(60) < 30, (40, 60))
        expected = [np.where(is_left, 1, 2), np.where(is_left, 2, 1)]
        assert (found["label_map"] == np.array(expected)).mean() > 0.98
        assert found["masks"].shape == (2, 2, 40, 60)
        assert found["presence"] == pytest.approx(np.full((2, 2), 1 / (1 + math.exp(-0.5))))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
def test_no_name_of_an_image_or_subject_enters_the_registry(tmp_path, corpus, uri):
    folder = write_disc_deployable(tmp_path / "disc")
    register(folder, corpus, uri=uri)
    registered = register(folder, corpus, uri=uri)  # compared with the first one's rows
    assert f"on {corpus.num_samples} objects" in registered.promotion.reason
    tables = sorted(tmp_path.glob("mlartifacts/**/*.parquet"))
    assert len(tables) == 2
    rows, others = (read_records(path) for path in tables)
    assert [row.key for row in rows] == [row.key for row in others]
    assert len({row.key for row in rows}) == 6
    assert len({row.subject for row in rows}) == 3
    assert all(row.key.startswith("sha256:") for row in rows)
    files = [path for path in tmp_path.glob("ml*/**/*") if path.is_file()]
    assert len(files) > 20
    for path in [tmp_path / "mlflow.db", *files]:
        content = path.read_bytes().lower()
        assert not [name for name in PATIENTS if name.encode() in content], path


def test_hashed_rows_are_hashed_once_and_another_way_in_another_corpus():
    rows = [make_record(corpus_hash=corpus, key="jane.png") for corpus in ("first", "second")]
    first, second = without_names(rows)
    assert first.key.startswith("sha256:")
    assert len({first.key, first.subject, second.key, second.subject}) == 4
    assert without_names([first, second]) == [first, second]


def ask(folder, **inputs):
    """Answer as MLflow does that loads the version."""
    from evaluation.registry.pyfunc_model import DeployableModel  # noqa: PLC0415 -- takes seconds

    model = DeployableModel()
    model.load_context(SimpleNamespace(artifacts={"deployable": str(folder)}))
    return model.predict(None, inputs)


PROMPTS = {
    "image_index": np.array([0, 0]),
    "points": np.array([[[30.0, 20.0]], [[10.0, 9.0]]]),
    "point_labels": np.array([[1], [1]]),
}


@pytest.mark.slow
def test_a_version_cuts_where_its_folder_says_and_never_answers_with_nan(tmp_path):
    image = half_bright_images()[:1]
    threshold = 40.0
    folder = write_disc_deployable(tmp_path / "strict", threshold_logit=threshold)
    masks = ask(folder, images=image, **PROMPTS)["masks"]
    expected = [Segmenter(folder).segment(image[0], points=[at])[0] for at in [(30, 20), (10, 9)]]
    assert (masks == np.stack(expected)).all()
    lax = ask(write_disc_deployable(tmp_path / "lax"), images=image, **PROMPTS)["masks"]
    assert 0 < masks.sum() < 0.5 * lax.sum()  # of a disc of 64 squared pixels, 24 are left
    broken = write_disc_deployable(tmp_path / "broken", radius=math.nan)
    with pytest.raises(ValueError, match="broken answers with NaN"):
        ask(broken, images=image, **PROMPTS)
    with pytest.raises(ValueError, match=r"image_index \[1\] names none of 1 images"):
        ask(folder, images=image, **PROMPTS | {"image_index": np.array([0, 1])})
