"""What the loader of each rank reports becomes one row, and one bound on broken samples."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline.config import DataConfig
from pipeline.pretraining import pretrain
from pipeline.process_group import ProcessGroup
from pipeline.read_watch import BrokenSamplesError, ReadWatch
from shards import ReadReport, open_corpus
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
