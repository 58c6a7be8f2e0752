"""What the loader of each rank reports becomes one row, and one bound on broken samples."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline import session_setup
from pipeline.config import DataConfig
from pipeline.pretraining import pretrain
from pipeline.process_group import ProcessGroup
from pipeline.read_watch import BrokenSamplesError, ReadWatch
from pipeline.training_data import TrainingData, open_training_data
from shards import ReadReport, open_corpus
from tests.support.corpora import write_toy_corpus
from tests.support.fault_proxy import FaultProxy, FolderServer
from tests.support.nano_run import nano_config, nano_words, run_launcher


class TwoRanks:
    """Stands in for a group whose other rank reports what was put here."""

    def __init__(self) -> None:
        self.other = ReadReport()

    def gather(self, value: Any) -> list[Any]:
        return [value, self.other]


def report(*broken: str, **counts: int) -> ReadReport:
    return ReadReport(counts=Counter(counts), broken=broken)


def watch_of(group: TwoRanks, **options: Any) -> ReadWatch:
    return ReadWatch(DataConfig(train="unused", **options), group=cast(ProcessGroup, group))


def test_counts_of_all_ranks_are_added_up() -> None:
    group = TwoRanks()
    group.other = report(retries=2, cache_hits=5)
    watch = watch_of(group, cache="folder")
    assert watch.agree(report(retries=1)) == {
        "data/retries": 3.0,
        "data/cache_hits": 5.0,
        "data/cache_misses": 0.0,
        "data/cached_shards": 0.0,
        "data/cache_failures": 0.0,
        "data/broken_samples": 0.0,
    }


def test_a_broken_sample_counts_once_and_the_one_too_many_stops_every_rank(
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = TwoRanks()
    watch = watch_of(group, max_broken_samples=2)
    group.other = report("a.tar, sample 1: damaged")
    for _ in range(2):
        row = watch.agree(report("a.tar, sample 1: damaged", "b.tar, sample 0: damaged"))
        assert row == {"data/retries": 0.0, "data/broken_samples": 2.0}
    assert caplog.text.count("a.tar, sample 1") == 1
    group.other = report("c.tar, sample 7: damaged")
    with pytest.raises(BrokenSamplesError, match=r"=2, but 3 were met.*c.tar, sample 7.*validate"):
        watch.agree(report())


def damaged_copy(corpora: Path, *, to: Path, num_samples: int) -> Path:
    """Return a copy in which the first samples are damaged."""
    shutil.copytree(corpora, to)
    corpus = open_corpus(str(to / "train"))
    path = to / "train" / corpus.manifest.shards[0].name
    content = bytearray(path.read_bytes())
    index = np.frombuffer(path.with_suffix(".index").read_bytes(), dtype="<u8")
    for start in index.reshape(-1, 6)[:num_samples, 0]:  # 48 bytes a sample, the offset first
        content[int(start) + 600] ^= 1
    path.write_bytes(content)
    return to


@pytest.mark.slow
def test_a_run_bears_with_as_many_broken_samples_as_it_was_told(
    nano_corpora: Path, tmp_path: Path
) -> None:
    corpora = damaged_copy(nano_corpora, to=tmp_path / "corpora", num_samples=1)
    words = ("data.max_broken_samples=1",)
    result = pretrain(nano_config(corpora, root=tmp_path / "runs", words=words))
    rows = [row for row in result.folder.metrics.rows() if row.kind == "train"]
    assert rows[-1].values["data/broken_samples"] == 1
    assert rows[-1].values["data/retries"] == 0
    assert result.exit_code == 0


@pytest.mark.distributed
def test_two_ranks_stop_together_at_one_broken_sample_too_many(
    nano_corpora: Path, tmp_path: Path
) -> None:
    corpora = damaged_copy(nano_corpora, to=tmp_path / "corpora", num_samples=2)
    words = ("data.max_broken_samples=1", "data.micro_batch_size=2")
    code, output = run_launcher(
        nano_words(corpora, root=tmp_path / "runs", words=words), num_processes=2
    )
    assert code != 0
    assert "data.max_broken_samples=1, but 2 were met since the start" in output


def test_requests_made_again_outside_the_loader_are_told_once(tmp_path: Path) -> None:
    write_toy_corpus(str(tmp_path))
    corpora = [open_corpus(str(tmp_path)) for _ in range(2)]
    group = TwoRanks()
    group.other = report(retries=1)
    watch = ReadWatch(DataConfig(train="unused"), group=cast(ProcessGroup, group), corpora=corpora)
    corpora[0].counts["retries"] += 2
    corpora[1].counts["retries"] += 3
    corpora[1].counts["cache_misses"] += 9
    assert watch.agree(report(retries=10))["data/retries"] == 16
    assert watch.agree(report())["data/retries"] == 1
    corpora[1].counts["retries"] += 4
    assert watch.agree(report())["data/retries"] == 5


@pytest.mark.slow
def test_a_run_that_is_opened_through_faults_says_so_in_its_first_row(
    nano_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training and validation corpus lie in two folders of one server, so they are compared."""
    for split in ("train", "validation"):
        shutil.copytree(nano_corpora / split, tmp_path / "served" / split)
    opened: list[TrainingData] = []
    with (
        FolderServer(tmp_path / "served") as server,
        FaultProxy(server.url, share=1.0, kinds=["unavailable"], most_in_a_row=1) as proxy,
    ):

        def open_then_calm(*arguments: Any, **options: Any) -> TrainingData:
            opened.append(open_training_data(*arguments, **options))
            proxy.share = 0.0
            return opened[0]

        monkeypatch.setattr(session_setup, "open_training_data", open_then_calm)
        words = (
            f"data.train={proxy.url}/train",
            f"data.validation={proxy.url}/validation",
            "data.max_per_sequence=2",
            "validation.every_steps=4",
        )
        result = pretrain(nano_config(nano_corpora, root=tmp_path / "runs", words=words))
    rows = [row for row in result.folder.metrics.rows() if row.kind == "train"]
    train, validation = (one.counts["retries"] for one in opened[0].opened)
    # Of each the list of files, the manifest, the sizes of its shards, and the digests of its
    # pictures; of one also the sequences, and the build that both may come from.
    num_shards = [len(one.manifest.shards) for one in opened[0].opened]
    assert [train, validation] == [num_shards[0] + 5, num_shards[1] + 3]
    assert [row.values["data/retries"] for row in rows] == [train + validation, 0, 0, 0]
