"""However a build is done, by whom and in how many goes: the bytes are the same."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

from shards import BuildConfig, build_corpora, open_corpus, validate_corpus
from shards.building.packing import CHUNKS_AHEAD_PER_WORKER, Chunk, packed_in_order
from shards.sources import PlannedSample
from tests.support.building import files_below, heads, image_of, stamps_of_shards
from tests.support.corpora import describe_source, make_sample

REPOSITORY = Path(__file__).resolve().parents[2]


def test_shards_are_kept_until_their_own_input_is_mended(tmp_path, caplog):
    tree = heads(tmp_path / "raw")
    whole = image_of(tree, 7).read_bytes()
    image_of(tree, 7).write_bytes(whole[:80])
    config = tree.config(tmp_path / "out", max_samples_per_shard=3)
    with pytest.raises(ValueError, match=r"007_HC\.png"):
        build_corpora(config)
    before = stamps_of_shards(tmp_path / "out.partial")
    assert len(before) == 6
    assert not (tmp_path / "out").exists()
    image_of(tree, 7).write_bytes(whole)
    caplog.set_level("INFO")
    build_corpora(config)
    assert "5 of 6 shards lie there already" in caplog.text
    after = stamps_of_shards(tmp_path / "out")
    changed = [name for name in before if after[name] != before[name]]
    assert changed == ["train/fetalhead-hc18-00001.tar"]
    build_corpora(tree.config(tmp_path / "fresh", max_samples_per_shard=3))
    assert files_below(tmp_path / "out") == files_below(tmp_path / "fresh")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "out", "raw"]


def test_a_problem_is_told_again_although_its_shard_is_kept(tmp_path, caplog):
    tree = heads(tmp_path / "raw")
    image_of(tree, 7).write_bytes(b"no picture")
    config = tree.config(tmp_path / "out", max_samples_per_shard=3)
    messages = []
    for _ in range(2):
        with pytest.raises(ValueError, match="1 problems") as caught:
            build_corpora(config)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    config.max_skipped_samples = 1
    caplog.set_level("INFO")
    assert build_corpora(config)["train"].num_samples == 11
    assert "6 of 6 shards lie there already" in caplog.text
    assert validate_corpus(config.output) == []


@pytest.mark.parametrize("damage", ["cut", "lost"])
def test_a_shard_that_is_not_as_its_receipt_says_is_built_again(tmp_path, damage):
    tree = heads(tmp_path / "raw")
    image_of(tree, 7).write_bytes(b"no picture")
    config = tree.config(tmp_path / "out", max_samples_per_shard=3)
    with pytest.raises(ValueError, match="1 problems"):
        build_corpora(config)
    shard = tmp_path / "out.partial/train/fetalhead-hc18-00002.tar"
    shard.unlink() if damage == "lost" else shard.write_bytes(shard.read_bytes()[:-512])
    config.max_skipped_samples = 1
    build_corpora(config)
    assert validate_corpus(config.output) == []


def test_another_plan_leaves_nothing_of_an_earlier_one(tmp_path):
    tree = heads(tmp_path / "raw")
    image_of(tree, 7).write_bytes(b"no picture")
    config = tree.config(tmp_path / "out", max_samples_per_shard=3)
    with pytest.raises(ValueError, match="1 problems"):
        build_corpora(config)
    tree.write_list("train", ["1/FetalHead-HC18/002_HC"])
    build_corpora(config)
    build_corpora(tree.config(tmp_path / "fresh", max_samples_per_shard=3))
    assert files_below(tmp_path / "out") == files_below(tmp_path / "fresh")


@pytest.mark.parametrize("place", ["out", "memory://building-slices/out"])
def test_slices_become_what_one_machine_builds(tmp_path, place):
    tree = heads(tmp_path / "raw")
    expected = build_corpora(tree.config(tmp_path / "fresh", max_samples_per_shard=3))
    config = tree.config(tmp_path / "unused", max_samples_per_shard=3)
    config.output = place if "://" in place else str(tmp_path / place)
    for number in (2, 0, 1):
        config.slice = f"{number}/3"
        assert build_corpora(config) == {}
        with pytest.raises(FileNotFoundError):
            open_corpus(f"{config.output}/train")
    config.slice = "merge/3"
    assert build_corpora(config) == expected
    assert validate_corpus(config.output) == []
    if "://" not in place:
        assert files_below(tmp_path / place) == files_below(tmp_path / "fresh")


def test_slices_that_are_missing_are_named_with_what_they_lack(tmp_path):
    tree = heads(tmp_path / "raw")
    config = tree.config(tmp_path / "out", max_samples_per_shard=3)
    for number in (0, 3):
        config.slice = f"{number}/4"
        build_corpora(config)
    image_of(tree, 11).write_bytes(image_of(tree, 10).read_bytes())
    config.slice = "merge/4"
    with pytest.raises(ValueError, match=r"slice=merge/4: 4 of 6 shards are not built") as caught:
        build_corpora(config)
    assert str(caught.value).splitlines()[1:] == [
        "  slice=1/4 lacks 2: train/fetalhead-hc18-00001, test/fetalhead-hc18-00000",
        "  slice=2/4 lacks 1: train/fetalhead-hc18-00002",
        "  slice=3/4 lacks 1: train/fetalhead-hc18-00003",
    ]
    assert not (tmp_path / "out").exists()


def test_slices_do_not_remove_a_build_in_a_bucket(tmp_path):
    tree = heads(tmp_path / "raw")
    config = tree.config(tmp_path / "unused", overwrite=True)
    config.output = "memory://building-slices/old"
    build_corpora(config)
    config.slice = "0/2"
    config.split_seed = 1
    with pytest.raises(ValueError, match=r"slices cannot agree on who removes"):
        build_corpora(config)
    assert validate_corpus(config.output) == []


@pytest.mark.parametrize("text", ["3", "3/3", "0/0", "-1/3", "merge", "merge/0", "a/b", "1/2/3"])
def test_a_slice_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=f"slice={text}: expected NUMBER/COUNT"):
        BuildConfig(source="phantom", output="out", slice=text)


def slurm_scripts():
    """The scripts of the guide: one that builds slices, and one that submits it and the merge."""
    page = (REPOSITORY / "docs/shards.md").read_text()
    scripts = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(scripts) == 2
    return scripts


def test_the_slurm_scripts_of_the_guide_are_shell():
    scripts = slurm_scripts()
    for script in scripts:
        subprocess.run(["bash", "-n", "-c", script], check=True)
    options = re.search(r'slice="([^"]+)"', scripts[0])
    assert options is not None
    environment = {"SLURM_ARRAY_TASK_ID": "15", "SLURM_ARRAY_TASK_COUNT": "16"}
    done = subprocess.run(
        ["bash", "-c", f"echo {options[1]}"], env=environment, capture_output=True, check=True
    )
    assert BuildConfig(source="x", output="y", slice=done.stdout.decode().strip()).num_slices == 16


def real_us30k(shared_folder, root):
    """Some real images of both datasets, under short lists."""
    original = shared_folder / "data/us30k-mini"
    if not original.is_dir():
        pytest.skip(f"{original} is not there.")
    (root / "MainPatient").mkdir(parents=True)
    for place in original.iterdir():
        if place.name != "MainPatient":
            (root / place.name).symlink_to(place)
    for path in (original / "MainPatient").iterdir():
        lines = path.read_text().splitlines(keepends=True)
        few = lines if path.suffix == ".json" else lines[:6] + lines[-6:]
        (root / "MainPatient" / path.name).write_text("".join(few))


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes_and_one_report(tmp_path, shared_folder):
    real_us30k(shared_folder, tmp_path / "raw")
    contents, reports = [], []
    for num_workers in (0, 1, 3):
        config = BuildConfig(
            source="us30k",
            root=str(tmp_path / "raw"),
            output=str(tmp_path / f"out-{num_workers}"),
            num_workers=num_workers,
            max_samples_per_shard=7,
            max_side_pixels=200,
        )
        build_corpora(config)
        contents.append(files_below(config.output))
        tree = heads(tmp_path / f"broken-{num_workers}", num_images=40)
        for number in (2, 3, 20, 41):
            image_of(tree, number).write_bytes(image_of(tree, number).read_bytes()[:80])
        with pytest.raises(ValueError, match="4 problems") as caught:
            build_corpora(tree.config(tmp_path / "broken-out", num_workers=num_workers))
        reports.append(str(caught.value).replace(str(tree.root), "ROOT"))
    assert contents[0] == contents[1] == contents[2]
    assert reports[0] == reports[1] == reports[2]


def planned(number, *, read):
    return PlannedSample(
        key=f"toy__{number}",
        source="toy",
        subject=f"{number}",
        subject_is_known=True,
        split=None,
        where=f"{number}.png",
        fingerprint="",
        read=read,
    )


def chunk(number, *, read):
    samples = (planned(number, read=read),)
    return Chunk(samples=samples, description=describe_source(), max_side_pixels=None)


@pytest.mark.slow
def test_workers_run_only_so_far_ahead_of_the_writer_and_keep_the_order():
    asked = []

    def chunks():
        for number in range(40):
            asked.append(number)
            yield chunk(number, read=partial(make_sample, number))

    with packed_in_order(chunks(), num_workers=2) as packed:
        keys = []
        for one in packed:
            keys += [sample.facts.key for sample in one.samples]
            assert len(asked) <= len(keys) + 2 * CHUNKS_AHEAD_PER_WORKER
    assert keys == [f"toy__image-{number:05d}" for number in range(40)]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_one_clear_error_and_ends_the_others():
    before = set(psutil.Process().children(recursive=True))
    # Python may notice the loss only when another worker answers, so none takes long.
    reads = [partial(os._exit, 9), *[partial(time.sleep, 2)] * 6]
    chunks = [chunk(number, read=read) for number, read in enumerate(reads)]
    with (
        pytest.raises(RuntimeError, match=r"A worker was killed.*Lower num_workers"),
        packed_in_order(chunks, num_workers=2) as packed,
    ):
        list(packed)
    left = set(psutil.Process().children(recursive=True)) - before
    assert [one for one in left if "spawn_main" in " ".join(one.cmdline())] == []


@pytest.mark.slow
def test_an_interrupt_while_a_worker_starts_comes_when_it_has_started(monkeypatch):
    """Else it would break off what the worker is being sent, and the worker would say so."""
    submit, submitted = ProcessPoolExecutor.submit, []

    def interrupted(pool, *words):
        signal.raise_signal(signal.SIGINT)
        submitted.append(submit(pool, *words))
        return submitted[-1]

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever a shell has set
    try:
        chunks = [chunk(number, read=partial(time.sleep, 0)) for number in range(3)]
        with pytest.raises(KeyboardInterrupt), packed_in_order(chunks, num_workers=1) as packed:
            list(packed)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(submitted) == 1


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["kill", "interrupt"])
def test_a_build_that_is_stopped_ends_its_workers_and_the_next_call_goes_on(tmp_path, stop):
    words = [
        "source=phantom",
        f"output={tmp_path}/out",
        "phantom.num_subjects=3",
        "phantom.frames_per_subject=24",
        "max_samples_per_shard=4",
        "num_workers=2",
    ]
    command = [sys.executable, "launchers/build_shards.py", *words]
    staged, temporary = tmp_path / "out.partial", tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        # What a shell starts in the background ignores interrupts, these tests included.
        ["env", "--default-signal=INT", *command],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    ) as process:
        # A shell watches, because this process may pause for longer than the build takes.
        some = f"until (( $(ls {staged}/receipts 2> /dev/null | wc -l) >= 3 )); do sleep 0.01; done"
        freeze = f"{some}; kill -STOP -- -{process.pid}"
        subprocess.run(["bash", "-c", freeze], check=True, timeout=120)
        workers = psutil.Process(process.pid).children(recursive=True)
        if stop == "kill":
            os.kill(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGCONT)
        _, errors = process.communicate(timeout=60)
    assert len(workers) >= 2
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    if stop == "interrupt":
        assert process.returncode == 130
        assert "of 18 shards are built and kept; the same command goes on from there" in errors
        assert "Traceback" not in errors
        assert list(temporary.iterdir()) == []
    before = stamps_of_shards(staged)
    receipts = {path.stem for path in (staged / "receipts").iterdir()}
    kept = {
        name
        for name in before
        if Path(name).with_suffix("").as_posix().replace("/", "-") in receipts
    }
    assert 3 <= len(kept) < 18
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(kept)} of 18 shards lie there already" in done.stderr
    after = stamps_of_shards(tmp_path / "out")
    assert len(after) == 18
    assert {name for name in after if after[name] == before.get(name)} == kept
    assert re.search(r"images/s, .* MB/s of shards; writing alone goes at \d+ MB/s", done.stderr)
    assert validate_corpus(f"{tmp_path}/out") == []
