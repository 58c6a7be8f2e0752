"""Fine-tuning starts from a registered model, fetched from a real registry."""

from pathlib import Path

import pytest
import torch

from evaluation import (
    WEIGHTS_FOLDER,
    DeployablePredictor,
    HeldOutResult,
    evaluate_corpus,
    register_deployable,
)
from model import write_flattened
from pipeline.segmenter_setup import initialize_segmenter, prepare_segmenter
from shards import open_corpus
from tests.support.corpora import write_toy_corpus
from tests.support.disc_deployable import write_disc_deployable
from tests.support.nano_run import nano_config

pytestmark = pytest.mark.slow


def registered(folder: Path, *, corpus_folder: Path, registry: str) -> None:
    write_toy_corpus(str(corpus_folder), num_samples=4)
    corpus = open_corpus(str(corpus_folder))
    records = evaluate_corpus(
        DeployablePredictor(folder), corpus, protocol="centre_point", model_name="disc"
    )
    result = HeldOutResult(corpus=corpus, protocol="centre_point", records=records)
    register_deployable(folder, name="toy", result=result, tracking_uri=registry)


def test_a_registered_models_weights_start_another_run(tmp_path: Path) -> None:
    teacher = prepare_segmenter(nano_config(tmp_path, root=tmp_path), categories=()).segmenter
    with torch.no_grad():
        for weight in teacher.parameters():
            weight.add_(0.25)
    folder = write_disc_deployable(tmp_path / "disc")
    write_flattened(teacher, folder / WEIGHTS_FOLDER)
    registry = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registered(folder, corpus_folder=tmp_path / "corpus", registry=registry)
    student = prepare_segmenter(nano_config(tmp_path, root=tmp_path), categories=())
    initialize_segmenter(student, source="models:/toy@champion", registry=registry)
    expected = teacher.state_dict()
    found = student.segmenter.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_registered_model_without_weights_says_where_to_start_instead(tmp_path: Path) -> None:
    folder = write_disc_deployable(tmp_path / "disc")
    registry = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registered(folder, corpus_folder=tmp_path / "corpus", registry=registry)
    student = prepare_segmenter(nano_config(tmp_path, root=tmp_path), categories=())
    with pytest.raises(ValueError, match="include_weights=false"):
        initialize_segmenter(student, source="models:/toy@champion", registry=registry)
