import math
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from evaluation import (
    DeployablePredictor,
    HeldOutResult,
    PredictConfig,
    champion_history,
    demote_champion,
    evaluate_corpus,
    promote_version,
    pull_deployable,
    register_deployable,
    roll_back,
)
from evaluation.registry.standing import StandingChange, champions_in_good_standing
from launchers.command_line import run_command
from launchers.predict import predict
from shards import open_corpus
from tests.support.corpora import write_toy_corpus
from tests.support.disc_deployable import write_disc_deployable
from tests.support.evaluation_records import make_record

pytestmark = [
    pytest.mark.slow,
    # SQLAlchemy on what MLflow's own tables use.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
]

GOOD_RADIUS, BETTER_RADIUS, POOR_RADIUS = 7.0, 10.0, 3.0
"""In 64 framed pixels; the best disc over a square of 8 pixels in 24 x 32 has about 10."""

PULL_AND_SEGMENT = """
import sys
import numpy as np
from mlflow.artifacts import download_artifacts
import mlflow.pyfunc
reference = "models:/toy@champion"
folder = download_artifacts(reference, dst_path="pulled")
model = mlflow.pyfunc.load_model(reference)
images = np.zeros((2, 40, 60, 3), np.uint8)
masks = model.predict({
    "images": images,
    "image_index": np.array([1, 0, 1]),
    "points": np.array([[[30.0, 20], [0, 0]], [[5, 6], [0, 0]], [[9, 9], [20, 30]]]),
    "point_labels": np.array([[1, -1], [1, -1], [2, 3]]),
})["masks"]
assert masks.shape == (3, 40, 60) and masks.dtype == np.uint8, (masks.shape, masks.dtype)
assert masks[0, 20, 30] == 1 and masks[1, 6, 5] == 1 and masks[0, 6, 5] == 0
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"torch", "evaluation", "model", "shards", "pipeline"}, loaded
print("segmented")
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_toy_corpus(str(folder), num_samples=8)
    return open_corpus(str(folder))


@pytest.fixture(scope="module")
def other_corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    write_toy_corpus(str(folder), num_samples=6)
    return open_corpus(str(folder))


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discs")
    return {
        radius: write_disc_deployable(folder / f"disc-{radius}", radius=radius)
        for radius in (GOOD_RADIUS, BETTER_RADIUS, POOR_RADIUS)
    }


def register(folder, corpus, *, uri, name="toy"):
    records = evaluate_corpus(
        DeployablePredictor(folder), corpus, protocol="centre_point", model_name=folder.name
    )
    result = HeldOutResult(corpus=corpus, protocol="centre_point", records=records)
    return register_deployable(folder, name=name, result=result, tracking_uri=uri)


def champion_of(uri, name="toy"):
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds, and this file is slow

    return MlflowClient(uri).get_model_version_by_alias(name, "champion")


def test_only_a_better_version_becomes_champion(tmp_path, discs, corpus, uri):
    first = register(discs[GOOD_RADIUS], corpus, uri=uri)
    assert (first.version, first.promotion.is_champion) == ("1", True)
    poor = register(discs[POOR_RADIUS], corpus, uri=uri)
    assert not poor.promotion.is_champion
    same = register(discs[GOOD_RADIUS], corpus, uri=uri)
    assert not same.promotion.is_champion
    assert champion_of(uri).version == 1
    better = register(discs[BETTER_RADIUS], corpus, uri=uri)
    assert better.promotion.is_champion
    assert champion_of(uri).version == 4
    tags = champion_of(uri).tags
    assert tags["manifest_hash"] == corpus.manifest.content_hash
    assert tags["decision"] == better.promotion.reason
    assert "beats version 1" in tags["decision"]
    assert 0.7 < float(tags["mean_dice"]) < 1.0
    assert (tmp_path / "mlartifacts").is_dir()


def test_champions_come_through_the_gate_go_and_come_back_and_it_is_written_down(
    discs, corpus, uri
):
    def champion():
        return str(champion_of(uri).version)

    register(discs[GOOD_RADIUS], corpus, uri=uri)
    register(discs[POOR_RADIUS], corpus, uri=uri)
    register(discs[BETTER_RADIUS], corpus, uri=uri)
    assert champion() == "3"
    assert roll_back("toy", version=None, why="seen to fail", tracking_uri=uri) == "1"
    assert champion() == "1"
    asked = {"corpus": corpus, "protocol": None, "tracking_uri": uri}
    assert not promote_version("toy", version="2", **asked).is_champion
    assert champion() == "1"
    assert promote_version("toy", version="3", **asked).is_champion
    assert champion() == "3"
    with pytest.raises(ValueError, match="Version 3 of toy is champion already"):
        promote_version("toy", version="3", **asked)
    assert demote_champion("toy", why="withdrawn", tracking_uri=uri) == "3"
    with pytest.raises(ValueError, match="toy has no champion"):
        demote_champion("toy", why="again", tracking_uri=uri)
    with pytest.raises(ValueError, match="cannot be rolled back to version 2"):
        roll_back("toy", version="2", why="never was", tracking_uri=uri)
    changes = champion_history("toy", tracking_uri=uri)
    assert [one.version for one in changes] == ["1", "3", "1", "3", None]
    assert changes[2].why == "rolled back from version 3: seen to fail"
    assert changes[-1].why == "version 3 demoted: withdrawn"
    # The version to beat is now 1, and what was withdrawn does not come back by itself.
    assert not register(discs[POOR_RADIUS], corpus, uri=uri).promotion.is_champion
    assert roll_back("toy", version=None, why="until it is mended", tracking_uri=uri) == "1"
    with pytest.raises(ValueError, match="of them never withdrawn none"):
        roll_back("toy", version=None, why="again", tracking_uri=uri)
    assert roll_back("toy", version="3", why="mended", tracking_uri=uri) == "3"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], []),
        (["promoted 1", "promoted 3"], ["1", "3"]),
        (["promoted 1", "promoted 3", "rolled back 1"], ["1"]),
        (["promoted 1", "promoted 2", "promoted 3", "rolled back 2", "rolled back 1"], ["1"]),
        (["promoted 1", "promoted 3", "demoted None", "promoted 4"], ["1", "4"]),
        (["promoted 1", "promoted 3", "rolled back 1", "promoted 3"], ["1", "3"]),
        (["promoted 1", "promoted 2", "promoted 1"], ["2", "1"]),
        (["promoted 1", "demoted None", "rolled back 1"], ["1"]),
        (["promoted 1", "promoted 3", "rolled back 1", "rolled back 3"], ["1", "3"]),
    ],
)
def test_champions_in_good_standing_were_never_withdrawn(changes, expected):
    told = [change.rsplit(" ", 1) for change in changes]
    history = [
        StandingChange(version=None if at == "None" else at, at="", why="", action=action)
        for action, at in told
    ]
    assert champions_in_good_standing(history) == expected


def test_the_latest_version_that_lost_is_the_challenger(discs, corpus, uri):
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds, and this file is slow

    register(discs[GOOD_RADIUS], corpus, uri=uri)
    register(discs[POOR_RADIUS], corpus, uri=uri)
    assert MlflowClient(uri).get_registered_model("toy").aliases == {
        "champion": 1,
        "challenger": 2,
    }


def test_a_champion_without_rows_is_measured_first(tmp_path, discs, corpus, other_corpus, uri):
    register(discs[BETTER_RADIUS], corpus, uri=uri)
    challenger = register(discs[GOOD_RADIUS], other_corpus, uri=uri)
    assert not challenger.promotion.is_champion
    assert "does not beat champion version 1" in challenger.promotion.reason
    assert f"on {other_corpus.num_samples} objects" in challenger.promotion.reason
    kept = tmp_path.glob(f"mlartifacts/deployables/{champion_of(uri).run_id}/artifacts/*/*.parquet")
    assert len(list(kept)) == 2


def test_what_is_pulled_is_what_was_registered(tmp_path, discs, corpus, uri):
    register(discs[GOOD_RADIUS], corpus, uri=uri)
    for reference in ("models:/toy@champion", "models:/toy/1"):
        destination = tmp_path / reference.replace("/", "-")
        folder = pull_deployable(reference, tracking_uri=uri, destination=destination)
        for path in discs[GOOD_RADIUS].iterdir():
            if path.is_file():
                assert (folder / path.name).read_bytes() == path.read_bytes()


def test_a_champion_is_pulled_and_segments_without_this_repository(tmp_path, discs, corpus, uri):
    register(discs[GOOD_RADIUS], corpus, uri=uri)
    assert segment_elsewhere(tmp_path / "elsewhere", uri=uri) == "segmented\n"


def test_a_champion_segments_an_image_from_the_command_line(tmp_path, discs, corpus, uri):
    register(discs[GOOD_RADIUS], corpus, uri=uri)
    register(discs[BETTER_RADIUS], corpus, uri=uri)
    Image.fromarray(np.full((64, 64), 99, np.uint8)).save(tmp_path / "scan.png")
    words = ["model=models:/toy@champion", f"tracking_uri={uri}", "points=[[30,20]]"]
    words += [f"image={tmp_path / 'scan.png'}", f"output={tmp_path / 'out'}"]
    assert run_command(PredictConfig, predict, arguments=words) == 0
    rows, columns = np.indices((64, 64))
    disc = (columns + 0.5 - 30.5) ** 2 + (rows + 0.5 - 20.5) ** 2 < BETTER_RADIUS**2
    mask = np.asarray(Image.open(tmp_path / "out" / "scan_mask.png")) > 0
    assert (mask != disc).mean() < 0.02


def segment_elsewhere(folder, *, uri):
    """Pull and run the champion in an empty folder, in a process that cannot import our rooms."""
    folder.mkdir()
    environment = {"MLFLOW_TRACKING_URI": uri, "HOME": str(folder), "PATH": os.environ["PATH"]}
    # Installed editable, the repository is on the path of every process but this one.
    block = "import sys; sys.path = [p for p in sys.path if 'site-packages' in p or 'lib' in p]\n"
    answer = subprocess.run(
        [sys.executable, "-P", "-c", block + PULL_AND_SEGMENT],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_damaged_folder_is_not_registered(tmp_path, corpus):
    folder = write_disc_deployable(tmp_path / "disc")
    result = HeldOutResult(corpus=corpus, protocol="centre_point", records=[])
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(ValueError, match="has no evaluation rows"):
        register_deployable(folder, name="toy", result=result, tracking_uri=uri)
    (folder / "model_card.md").write_text("better than it is")
    with pytest.raises(ValueError, match=r"model_card\.md is damaged or was changed"):
        register_deployable(folder, name="toy", result=result, tracking_uri=uri)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_registry_that_is_down_missing_or_empty_says_so(tmp_path, uri):
    def pull(reference, uri):
        return pull_deployable(reference, tracking_uri=uri, destination=tmp_path / "pulled")

    with pytest.raises(ConnectionError, match="no server answers there"):
        pull("models:/toy@champion", "http://127.0.0.1:1")
    with pytest.raises(FileNotFoundError, match="there is no database"):
        pull("models:/toy@champion", f"sqlite:///{tmp_path / 'other.db'}")
    (tmp_path / "notes.db").write_text("no database at all")
    with pytest.raises(ValueError, match=r"notes\.db is no SQLite database"):
        pull("models:/toy@champion", f"sqlite:///{tmp_path / 'notes.db'}")
    with pytest.raises(ValueError, match="Registered Model with name=toy not found"):
        pull("models:/toy@champion", uri)
    with pytest.raises(ValueError, match="answers: "):
        pull("models:/toy/3", uri)


def test_mean_dice_leaves_out_what_could_not_be_measured(corpus):
    rows = [make_record(dice=0.5), make_record(dice=math.nan), make_record(dice=0.7)]
    result = HeldOutResult(corpus=corpus, protocol="box", records=rows)
    assert result.mean_dice == pytest.approx(0.6)
