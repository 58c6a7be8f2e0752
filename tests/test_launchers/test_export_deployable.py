import pytest
import yaml

from launchers.command_line import run_command
from launchers.export_deployable import ExportConfig, export, training_sources
from tests.support.corpora import write_toy_corpus
from tests.support.disc_deployable import write_disc_deployable


def run(*words):
    return run_command(ExportConfig, export, arguments=[str(word) for word in words])


@pytest.fixture
def run_folder(tmp_path):
    write_toy_corpus(str(tmp_path / "corpus"), num_samples=2)
    folder = tmp_path / "run"
    folder.mkdir()
    options = {"data": {"train": str(tmp_path / "corpus")}}
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    return folder


def test_the_training_data_is_that_of_the_run(run_folder):
    assert [source.name for source in training_sources([], run=run_folder)] == ["toy"]
    assert training_sources([], run=None) == []


def test_training_data_that_is_gone_is_missed_in_the_log_only(run_folder, caplog):
    options = {"data": {"train": [{"url": "nowhere/train", "weight": 2.0}]}}
    (run_folder / "config.yaml").write_text(yaml.safe_dump(options))
    assert training_sources([], run=run_folder) == []
    assert "nowhere/train" in caplog.text
    assert "training_data=[URL]" in caplog.text


def test_training_data_that_was_asked_for_must_be_there(run_folder):
    with pytest.raises((OSError, ValueError), match="nowhere"):
        training_sources(["nowhere"], run=run_folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "checkpoint, data, output"),
        (["checkpoint=nowhere", "data=corpus", "output=new"], "nowhere"),
        (["checkpoint=nowhere", "data=nowhere", "output=new"], "nowhere"),
        (["checkpoint=run", "data=corpus", "output=taken"], "overwrite=true"),
        (
            [
                *("checkpoint=run", "data=corpus", "output=new", "register_as=toy"),
                "tracking_uri=http://127.0.0.1:1",
            ],
            "no server answers there",
        ),
        (
            ["checkpoint=run", "data=corpus", "output=new", "gate.min_mean_dice=2"],
            "gate.min_mean_dice",
        ),
    ],
)
def test_a_mistake_gets_one_line(tmp_path, run_folder, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    write_disc_deployable(tmp_path / "taken")
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "new").exists()
