import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation import PROTOCOLS, EvaluateConfig, read_records
from evaluation.reports.published_figures import PUBLISHED
from evaluation.run_tracking import log_summaries
from evaluation.summary import summarise
from launchers.command_line import run_command
from launchers.evaluate_checkpoint import PRESETS, evaluate
from tests.support.disk_corpus import DISK, RING, disk_sample, write_disk_corpus
from tests.support.evaluation_records import make_record
from tests.support.small_checkpoint import write_checkpoint

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def run(tmp_path):
    write_checkpoint(tmp_path / "a_run" / "checkpoints" / "step-00000010")
    return tmp_path / "a_run"


@pytest.fixture
def corpus(tmp_path):
    samples = [disk_sample("0", num_disks=2), disk_sample("1", shape=(70, 50))]
    write_disk_corpus(tmp_path / "corpus", samples=samples)
    return tmp_path / "corpus"


def command(*words):
    arguments = [str(word) for word in words]
    return run_command(EvaluateConfig, evaluate, presets=PRESETS, arguments=arguments)


def test_a_run_is_evaluated_into_its_own_report(run, corpus, capsys):
    words = ["intervals.num_resamples=50", "num_gallery_cases=1", "protocols=[box,centre_point]"]
    assert command(f"checkpoint={run}", f"data={corpus}", *words) == 0
    records = read_records(run / "report" / "records.parquet")
    assert [(row.model, row.protocol, row.tier) for row in records] == [
        *[("a_run", "box", "unknown")] * 3,
        *[("a_run", "centre_point", "unknown")] * 3,
    ]
    summaries = json.loads((run / "report" / "summary.json").read_text())["summaries"]
    assert [summary["protocol"] for summary in summaries] == ["box", "centre_point"]
    assert summaries[0]["bootstrap"]["num_resamples"] == 50
    page = (run / "report" / "report.html").read_text()
    assert "protocols=[box,centre_point]" in page
    assert "intervals.num_resamples=50" in page
    shown = capsys.readouterr().out
    assert "report.html" in shown.replace("\n", "")
    assert "centre_point" in shown


def test_a_checkpoint_of_a_run_is_evaluated_under_the_name_of_the_run(run, corpus):
    checkpoint = run / "checkpoints" / "step-00000010"
    assert command(f"checkpoint={checkpoint}", f"data={corpus}", "num_gallery_cases=0") == 0
    (first, *_) = read_records(run / "report" / "records.parquet")
    assert (first.model, first.protocol) == ("a_run", "published_click")


def test_a_checkpoint_on_its_own_needs_an_output(tmp_path, corpus, capsys):
    checkpoint = write_checkpoint(tmp_path / "alone")
    assert command(f"checkpoint={checkpoint}", f"data={corpus}") == 2
    assert "output=FOLDER" in capsys.readouterr().err
    words = [f"output={tmp_path / 'out'}", "model_name=mine", "num_gallery_cases=0"]
    assert command(f"checkpoint={checkpoint}", f"data={corpus}", *words) == 0
    assert read_records(tmp_path / "out" / "records.parquet")[0].model == "mine"


def test_several_corpora_are_evaluated_together(run, corpus, tmp_path):
    samples = [disk_sample("0", source="others")]
    write_disk_corpus(tmp_path / "second", samples=samples)
    data = f"data=[{corpus},{tmp_path / 'second'}]"
    assert command(f"checkpoint={run}", data, "num_gallery_cases=1") == 0
    records = read_records(run / "report" / "records.parquet")
    assert {row.source for row in records} == {"disks", "others"}
    assert len({row.corpus_hash for row in records}) == 2


def test_a_run_that_remembers_its_training_has_tiers_and_published_figures_beside_it(
    run, corpus, tmp_path
):
    train = write_disk_corpus(
        tmp_path / "train", samples=[disk_sample("0", source="others")], split="train"
    )
    facts = {
        "is_trained_on": True,
        "content_hash": train.manifest.content_hash,
        "sources": ["others"],
    }
    (run / "environment.json").write_text(json.dumps({"corpora": {train.url: facts}}))
    words = ["preset=samus_generalisation", "num_gallery_cases=0", "intervals.num_resamples=50"]
    assert command(f"checkpoint={run}", f"data={corpus}", *words) == 0
    tiers = {row.key: row.tier for row in read_records(run / "report" / "records.parquet")}
    # The training corpus holds the pixels of the first image under another name.
    assert tiers == {"disks__0": "seen", "disks__1": "held_out_sources"}
    summaries = json.loads((run / "report" / "summary.json").read_text())["summaries"]
    assert [summary["tier"] for summary in summaries] == ["seen", "held_out_sources"]
    page = (run / "report" / "report.html").read_text()
    assert "Beside published figures" in page
    assert "published=samus_generalisation" in page


@pytest.mark.slow
def test_the_robustness_matrix_is_one_command(tmp_path, run, corpus):
    detector = write_checkpoint(tmp_path / "u", preset="unet_tiny", categories=(DISK, RING))
    words = ["protocols=[robustness]", f"detector={detector}", "num_gallery_cases=0"]
    assert command(f"checkpoint={run}", f"data={corpus}", "label_maps=true", *words) == 0
    records = read_records(run / "report" / "records.parquet")
    protocols = {row.protocol for row in records if not row.protocol.endswith("_label_map")}
    assert protocols == {
        *(set(PROTOCOLS)),
        *(f"k_clicks_{count:02}" for count in range(1, 11)),
        "detector_box",
    }
    assert {f"{name}_label_map" for name in protocols} < {row.protocol for row in records}
    page = (run / "report" / "report.html").read_text()
    assert "How much depends on the prompt" in page


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_published_protocols_are_presets_that_want_their_data(preset, run, corpus, capsys):
    assert preset in PUBLISHED
    words = [f"preset={preset}", f"checkpoint={run}"]
    assert command(*words) == 2
    assert "corpora/" in capsys.readouterr().err.splitlines()[-1]


def test_a_checkpoint_that_answers_with_nan_is_named_with_the_image(tmp_path, corpus, capsys):
    checkpoint = write_checkpoint(tmp_path / "broken", is_broken=True)
    output = tmp_path / "out"
    assert command(f"checkpoint={checkpoint}", f"data={corpus}", f"output={output}") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"checkpoint={checkpoint}: disks__0: " in error
    assert "NaN or infinite" in error
    assert not output.exists()


@pytest.mark.slow
def test_an_automatic_model_is_evaluated_by_category(tmp_path, corpus):
    checkpoint = write_checkpoint(tmp_path / "u", preset="unet_tiny", categories=(DISK, RING))
    words = [f"checkpoint={checkpoint}", f"data={corpus}", f"output={tmp_path / 'out'}"]
    assert command(*words, "num_gallery_cases=1") == 0
    records = read_records(tmp_path / "out" / "records.parquet")
    assert [(row.protocol, row.category) for row in records] == [("automatic", DISK)] * 2
    assert command(*words, "protocols=[box]") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=nowhere"], "nowhere: no such folder"),
        (["protocols=[guess]"], "no protocol 'guess'"),
        (["protocols=[automatic]"], "does not fit a_run"),
        (["protocols=[detector_box]"], "Name one with detector=RUN"),
        (["published=guess"], "published=guess: there are no such figures"),
        (["categories=[valve]"], "no object to evaluate"),
        (["data=nowhere"], "nowhere"),
        (["data=[]"], "expected the URL of a corpus"),
        (["batch_size=0"], "batch_size must be at least 1"),
        (["device=abacus"], "device=abacus: cannot be used"),
        (["scoring.detection_iou=0"], "scoring.detection_iou must lie above 0"),
        (["intervals.confidence=95"], "intervals.confidence must lie between 0 and 1"),
        (["max_images=0"], "max_images must be at least 1"),
        (["num_gallery_cases=-1"], "num_gallery_cases must be 0 or more"),
        (["protocol=box"], "protocols"),
    ],
)
def test_bad_input_gets_one_line(run, corpus, words, message, capsys):
    given = {word.split("=")[0] for word in words}
    usual = [f"checkpoint={run}", f"data={corpus}"]
    rest = [word for word in usual if word.split("=")[0] not in given]
    assert command(*rest, *words) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("error: ")


def test_a_split_without_objects_gets_one_line(run, tmp_path, capsys):
    write_disk_corpus(tmp_path / "empty", samples=[disk_sample("0", num_disks=0)])
    assert command(f"checkpoint={run}", f"data={tmp_path / 'empty'}") == 2
    assert "no object to evaluate" in capsys.readouterr().err
    assert not (run / "report").exists()


def test_help_is_quick_and_never_loads_torch():
    code = (
        "import sys; sys.argv = ['evaluate_checkpoint.py', '--help'];"
        "from launchers.evaluate_checkpoint import main; main();"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for option in ("checkpoint", "protocols", "scoring.detection_iou", "intervals.method"):
        assert option in done.stdout


def test_a_checkpoint_without_an_mlflow_run_is_passed_over(run):
    checkpoint = run / "checkpoints" / "step-00000010"
    assert not log_summaries(checkpoint, summaries=[summarise([make_record()])])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_means_reach_the_mlflow_run_that_trained_the_checkpoint(run):
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

    client = MlflowClient(tracking_uri=f"sqlite:///{run.parent / 'mlflow.db'}")
    experiment = client.create_experiment("e", artifact_location=str(run.parent / "artifacts"))
    tracked = client.create_run(experiment)
    (run / "config.yaml").write_text("tracking: {enabled: true, uri: null}\n")
    checkpoint = run / "checkpoints" / "step-00000010"
    state = {"mlflow_run_id": tracked.info.run_id, "step": 10}
    (checkpoint / "run_state.json").write_text(json.dumps(state))
    assert log_summaries(checkpoint, summaries=[summarise([make_record()])])
    metrics = client.get_run(tracked.info.run_id).data.metrics
    assert metrics["evaluation/published_click/dice"] == 0.9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_mlflow_run_that_is_gone_costs_a_warning(run, caplog):
    (run / "config.yaml").write_text("tracking: {enabled: true, uri: null}\n")
    checkpoint = run / "checkpoints" / "step-00000010"
    (checkpoint / "run_state.json").write_text(json.dumps({"mlflow_run_id": "gone", "step": 1}))
    assert not log_summaries(checkpoint, summaries=[summarise([make_record()])])
    assert "were not logged into MLflow run gone" in caplog.text
