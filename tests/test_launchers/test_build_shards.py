from launchers.build_shards import build
from launchers.command_line import run_command
from shards import BuildConfig, open_corpus
from tests.support.corpora import make_us30k


def run(*words):
    return run_command(BuildConfig, build, arguments=words)


def test_one_command_builds_corpora_from_a_raw_dataset(tmp_path):
    make_us30k(tmp_path / "raw")
    code = run("source=us30k", f"root={tmp_path}/raw", f"output={tmp_path}/out")
    assert code == 0
    assert open_corpus(f"{tmp_path}/out/train").num_samples == 3


def test_options_of_the_source_are_given_by_name(tmp_path):
    code = run(
        "source=phantom",
        f"output={tmp_path}/out",
        "phantom.num_subjects=3",
        "phantom.frames_per_subject=1",
        "phantom.min_size_pixels=64",
        "phantom.max_size_pixels=64",
    )
    assert code == 0
    assert open_corpus(f"{tmp_path}/out/test").num_samples == 1


def test_a_wrong_input_is_an_error_without_a_traceback(tmp_path, capsys):
    assert run("source=us30k", f"root={tmp_path}/nowhere", f"output={tmp_path}/out") == 2
    error = capsys.readouterr().err
    assert "there is no such folder" in error
    assert "Traceback" not in error


def test_a_mistyped_option_gets_a_suggestion(capsys):
    assert run("source=phantom", "ouput=out") == 2
    assert "output" in capsys.readouterr().err
