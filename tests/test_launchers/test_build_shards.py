import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from launchers.build_shards import build
from launchers.command_line import run_command
from shards import BuildConfig, open_corpus, validate_corpus
from tests.support.corpora import make_us30k

REPOSITORY = Path(__file__).resolve().parents[2]


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


@pytest.fixture
def open_folder():
    """Give a folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def run_without_rights(*words):
    """Run the launcher as a user who is not root, whoever runs the tests."""
    script = """
        import encodings.utf_8_sig, os, sys
        import PIL.Image, scipy.ndimage  # while the interpreter's own folders may still be read
        PIL.Image.init()
        from launchers import build_shards
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        sys.exit(build_shards.main())
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", ["locked/out", "locked/below/out", "old"])
def test_a_folder_that_may_not_be_written_is_one_line_and_exit_code_two(open_folder, place):
    make_us30k(open_folder / "raw")
    (open_folder / "locked").mkdir(mode=0o555)
    (open_folder / "old").mkdir(mode=0o555)
    (open_folder / "old/file").touch()
    before = sorted(open_folder.rglob("*"))
    open_folder.chmod(0o555)
    output = open_folder / place
    done = run_without_rights(
        "source=us30k", f"root={open_folder}/raw", f"output={output}", "overwrite=true"
    )
    open_folder.chmod(0o755)
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert f"{output}: cannot be written" in line
    assert "Writing is not allowed here: give another output, or mend the rights." in line
    assert "Traceback" not in done.stderr
    assert sorted(open_folder.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MainPatient/class.json", "MainPatient/train.txt", "."])
def test_raw_data_that_may_not_be_read_are_one_error_with_the_file(open_folder, name):
    make_us30k(open_folder / "raw")
    (open_folder / "raw" / name).chmod(0)
    (open_folder / "free").mkdir()
    (open_folder / "free").chmod(0o777)
    done = run_without_rights(
        "source=us30k", f"root={open_folder}/raw", f"output={open_folder}/free/out"
    )
    (open_folder / "raw" / name).chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr
    assert str(open_folder / "raw") in done.stderr.split("error:")[1]
    assert list((open_folder / "free").iterdir()) == []


def visible_files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".partial"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["train/*.tar.partial", "train/*-00001.tar", "*/manifest.json"])
def test_a_killed_build_shows_nothing_half_written_and_the_same_command_succeeds(tmp_path, moment):
    words = [
        "source=phantom",
        f"output={tmp_path}/out",
        "phantom.num_subjects=3",
        "phantom.frames_per_subject=16",
        "phantom.min_size_pixels=64",
        "phantom.max_size_pixels=64",
        "max_samples_per_shard=3",
    ]
    staged = tmp_path / "out.partial"
    command = [sys.executable, "launchers/build_shards.py", *words]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(staged.glob(moment)):
            time.sleep(0.0005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    for path in visible_files(staged):
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                assert len(archive.getnames()) % 3 == 0
            assert path.with_suffix(".index").exists()
        if path.name == "manifest.json":
            assert validate_corpus(str(path.parent)) == []
    assert run(*words) == 0
    assert validate_corpus(f"{tmp_path}/out") == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
