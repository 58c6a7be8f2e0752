"""`data.mixing_temperature` and `data.max_per_sequence` reach the samples of a run."""

import itertools
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipeline import PretrainConfig, load_config
from pipeline.config import DataConfig
from pipeline.training_data import TrainingData, open_training_data
from shards import open_corpus, write_corpus
from tests.support.corpora import describe_source, make_sample
from tests.support.nano_run import nano_config


def sequences_of_epoch(data: TrainingData) -> Counter[str | None]:
    addresses = map(data.plan.address, range(data.plan.start_of_epoch(1)))
    return Counter(
        data.corpora[source].read(shard, sample).origin.sequence
        for source, shard, sample in addresses
    )


def test_an_epoch_holds_at_most_so_many_frames_of_a_sequence(
    nano_corpora: Path, tmp_path: Path
) -> None:
    config = nano_config(nano_corpora, root=tmp_path, words=("data.max_per_sequence=2",))
    counts = sequences_of_epoch(open_training_data(config.data, seed=0))
    assert set(counts.values()) == {2}
    config = nano_config(nano_corpora, root=tmp_path)
    assert sequences_of_epoch(open_training_data(config.data, seed=0)).keys() == counts.keys()


def test_a_corpus_of_an_older_build_cannot_be_capped(nano_corpora: Path, tmp_path: Path) -> None:
    shutil.copytree(nano_corpora / "train", tmp_path / "train")
    (tmp_path / "train" / "phantom.sequences").unlink()
    config = nano_config(tmp_path, root=tmp_path, words=("data.max_per_sequence=2",))
    message = r"data\.max_per_sequence=2 .*phantom\.sequences: is missing.* build the corpus again"
    with pytest.raises(FileNotFoundError, match=message):
        open_training_data(config.data, seed=0)


def test_a_temperature_evens_out_the_datasets_inside_a_corpus(tmp_path: Path) -> None:
    sizes = {"large": 16, "small": 4}
    numbers = itertools.count()
    samples = [
        make_sample(next(numbers), source=name) for name, size in sizes.items() for _ in range(size)
    ]
    sources = [describe_source(name) for name in sizes]
    write_corpus(samples, str(tmp_path), split="train", sources=sources, max_samples_per_shard=4)
    data = open_training_data(
        DataConfig(train=str(tmp_path), mixing_temperature=2.0, num_workers=0), seed=0
    )
    names = [shard.source for shard in open_corpus(str(tmp_path)).manifest.shards]
    addresses = map(data.plan.address, range(data.plan.start_of_epoch(1)))
    counts = Counter(names[shard] for _, shard, _ in addresses)
    assert counts == {"large": 16, "small": 8}


@pytest.mark.parametrize("word", ["data.mixing_temperature=0.5", "data.max_per_sequence=0"])
def test_what_cannot_be_meant_is_refused_by_name(word: str) -> None:
    with pytest.raises(ValueError, match=rf"{word.split('=', maxsplit=1)[0]} is .*: it must be"):
        load_config(PretrainConfig, ["data.train=a", "run.name=b", "model.preset=c", word])
