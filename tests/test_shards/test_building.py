import json
import subprocess
import sys
import textwrap

import pytest

from shards import BuildConfig, PhantomConfig, build_corpora, open_corpus, validate_corpus
from tests.support.corpora import build_phantom, make_us30k


def test_a_build_is_three_corpora_and_their_table(tmp_path):
    build_phantom(tmp_path / "out")
    fields = json.loads((tmp_path / "out/corpus.json").read_text())
    assert set(fields["splits"]) == {"train", "validation", "test"}
    for split, content_hash in fields["splits"].items():
        corpus = open_corpus(str(tmp_path / "out" / split))
        assert corpus.manifest.content_hash == content_hash
        assert corpus.manifest.split == split
    assert "the simulated subject" in fields["grouping_rule"]


def test_two_builds_of_one_input_give_the_same_hashes(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    first = build_corpora(tree.config(tmp_path / "a"))
    second = build_corpora(tree.config(tmp_path / "b"))
    assert {split: manifest.content_hash for split, manifest in first.items()} == {
        split: manifest.content_hash for split, manifest in second.items()
    }


def test_the_same_build_again_is_reused(tmp_path, caplog):
    tree = make_us30k(tmp_path / "raw")
    first = build_corpora(tree.config(tmp_path / "out"))
    stamp = (tmp_path / "out/corpus.json").stat().st_mtime_ns
    caplog.set_level("INFO")
    assert build_corpora(tree.config(tmp_path / "out")) == first
    assert (tmp_path / "out/corpus.json").stat().st_mtime_ns == stamp
    assert "holds this very build already; it is reused" in caplog.text


def test_another_build_does_not_replace_what_lies_there_unasked(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    build_corpora(tree.config(tmp_path / "out"))
    tree.write_list("train", ["1/FetalHead-HC18/001_HC"])
    with pytest.raises(ValueError, match=r"holds another build.*overwrite=true"):
        build_corpora(tree.config(tmp_path / "out"))
    assert open_corpus(str(tmp_path / "out/train")).num_samples == 3
    build_corpora(tree.config(tmp_path / "out", overwrite=True))
    assert open_corpus(str(tmp_path / "out/train")).num_samples == 1


def test_other_classes_of_the_same_files_make_another_build(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    build_corpora(tree.config(tmp_path / "out"))
    classes = {"FetalHead-HC18": 2, "Echocardiography-CAMUS": 5}
    (tree.lists / "class.json").write_text(json.dumps(classes))
    with pytest.raises(ValueError, match="holds another build"):
        build_corpora(tree.config(tmp_path / "out"))


@pytest.mark.parametrize("place", [".", ".."])
def test_an_output_that_holds_the_raw_data_is_refused_even_with_overwrite(tmp_path, place):
    tree = make_us30k(tmp_path / "all/raw")
    with pytest.raises(ValueError, match=r"the raw data of root=.* lie in it"):
        build_corpora(tree.config(tree.root / place, overwrite=True))
    assert (tree.lists / "train.txt").exists()


def test_a_build_that_lost_a_shard_is_not_reused(tmp_path):
    build_phantom(tmp_path / "out")
    (tmp_path / "out/train/phantom-00000.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"phantom-00000.tar: is missing"):
        build_phantom(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no table of corpora"),
        ("{}", "is no table of corpora"),
        ('{"format_version": 2, "splits": {}}', "has format version 2"),
    ],
)
def test_a_table_of_corpora_that_cannot_be_read_is_refused(tmp_path, content, message):
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(ValueError, match=f"corpus.json: {message}"):
        build_phantom(tmp_path)
    with pytest.raises(ValueError, match=f"corpus.json: {message}"):
        validate_corpus(str(tmp_path))


def test_files_that_are_no_build_are_never_replaced_unasked(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").touch()
    with pytest.raises(ValueError, match="holds other files"):
        build_phantom(tmp_path / "out")
    assert (tmp_path / "out/thesis.txt").exists()


def test_a_build_that_fails_keeps_what_it_was_to_replace(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    build_corpora(tree.config(tmp_path / "out"))
    image = tmp_path / "raw/FetalHead-HC18/img/003_HC.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:80])
    stamp = (tmp_path / "out/corpus.json").stat().st_mtime_ns
    with pytest.raises(ValueError, match=r"1 problems.*(.|\n)*003_HC.png"):
        build_corpora(tree.config(tmp_path / "out", overwrite=True))
    assert (tmp_path / "out/corpus.json").stat().st_mtime_ns == stamp
    assert validate_corpus(str(tmp_path / "out")) == []
    image.write_bytes(whole)
    build_corpora(tree.config(tmp_path / "out", overwrite=True))
    assert (tmp_path / "out/corpus.json").stat().st_mtime_ns != stamp
    assert validate_corpus(str(tmp_path / "out")) == []


def test_what_a_killed_build_left_beside_does_not_disturb_the_next(tmp_path):
    (tmp_path / "out.partial/train").mkdir(parents=True)
    (tmp_path / "out.partial/train/phantom-00000.tar.partial").write_bytes(b"half")
    build_phantom(tmp_path / "out")
    assert validate_corpus(str(tmp_path / "out")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_bucket_gets_the_same_corpora_as_a_disk(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    on_disk = build_corpora(tree.config(tmp_path / "out"))
    config = tree.config(tmp_path / "unused")
    config.output = "memory://building/out"
    assert build_corpora(config) == on_disk
    assert validate_corpus(config.output) == []
    assert build_corpora(config) == on_disk
    tree.write_list("train", ["1/FetalHead-HC18/001_HC"])
    with pytest.raises(ValueError, match="holds another build"):
        build_corpora(config)
    config.overwrite = True
    assert build_corpora(config)["train"].num_samples == 1
    assert validate_corpus(config.output) == []


def test_a_source_that_does_not_exist_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(ValueError, match=r"source=us30: .*Did you mean 'us30k'\?"):
        build_corpora(BuildConfig(source="us30", output=str(tmp_path)))


@pytest.mark.parametrize(
    "options",
    [
        {"max_skipped_samples": -1},
        {"max_samples_per_shard": 0},
        {"max_shard_megabytes": 0},
        {"max_side_pixels": 16},
        {"num_workers": -1},
        {"validation_fraction": 0.5, "test_fraction": 0.5},
    ],
)
def test_options_out_of_range_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        BuildConfig(source="phantom", output="out", **options)


@pytest.mark.parametrize(
    "options",
    [{"num_subjects": 2}, {"frames_per_subject": 0}, {"min_size_pixels": 200}],
)
def test_phantom_options_out_of_range_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"phantom.{next(iter(options))}"):
        PhantomConfig(**options)


def test_an_output_below_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/out: cannot be written .* Give another output"):
        build_phantom(tmp_path / "file" / "out")


def test_a_full_disk_is_one_clear_error_and_leaves_no_file(tmp_path):
    script = """
        import resource, sys
        from pathlib import Path
        import scipy.ndimage
        from tests.support.corpora import build_phantom
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            build_phantom(Path(sys.argv[1]), frames_per_subject=1)
        except OSError as error:
            sys.exit(f"{error}")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "out: cannot be written" in done.stderr
    assert "lower max_shard_megabytes" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
