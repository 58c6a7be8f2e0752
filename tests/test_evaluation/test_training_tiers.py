"""A row knows how near it is to what the model was trained on."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from evaluation import evaluate_corpus
from evaluation.training_tiers import (
    NO_TIERS,
    CorpusTiers,
    TrainedCorpus,
    refuse_seen,
    tiers_of,
    trained_corpora,
)
from shards import Corpus, open_corpus
from tests.support.corpora import build_phantom
from tests.support.disk_corpus import BrightnessPredictor, disk_sample, write_disk_corpus


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_phantom(tmp_path_factory.mktemp("phantom"), num_subjects=5)


def remembered(corpus: Corpus) -> TrainedCorpus:
    return TrainedCorpus(
        url=corpus.url,
        content_hash=corpus.manifest.content_hash,
        sources=tuple(source.name for source in corpus.manifest.sources),
    )


def tier_of(corpus: Corpus, trained: list[TrainedCorpus] | None) -> CorpusTiers:
    return tiers_of(corpus, trained=trained)


def test_other_subjects_of_one_build_are_held_out(phantom: Path) -> None:
    train, test = (open_corpus(str(phantom / split)) for split in ("train", "test"))
    assert tier_of(test, [remembered(train)]).by_source == {"phantom": "held_out_subjects"}
    assert tier_of(train, [remembered(train)]).by_source == {"phantom": "seen"}


def test_without_the_build_nobody_knows_the_subjects(phantom: Path, tmp_path: Path) -> None:
    train = open_corpus(str(phantom / "train"))
    shutil.copytree(phantom / "test", tmp_path / "test")
    alone = open_corpus(str(tmp_path / "test"))
    assert tier_of(alone, [remembered(train)]).by_source == {"phantom": "unknown"}


def test_a_build_that_kept_a_subject_in_two_splits_parts_nobody(
    phantom: Path, tmp_path: Path
) -> None:
    leaking = shutil.copytree(phantom, tmp_path / "leaking")
    facts = json.loads((leaking / "corpus.json").read_text())
    (leaking / "corpus.json").write_text(json.dumps({**facts, "num_leaked_subjects": 1}))
    train, test = (open_corpus(str(leaking / split)) for split in ("train", "test"))
    assert tier_of(test, [remembered(train)]).by_source == {"phantom": "unknown"}


def test_another_source_is_held_out(phantom: Path, tmp_path: Path) -> None:
    disks = write_disk_corpus(tmp_path / "disks", samples=[disk_sample("0")])
    train = open_corpus(str(phantom / "train"))
    tiers = tier_of(disks, [remembered(train)])
    assert tiers.tier(source="disks", key="disks__0") == "held_out_sources"


def test_an_image_that_was_trained_on_under_another_name_is_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = write_disk_corpus(
        tmp_path / "train", samples=[disk_sample("here", source="copied")], split="train"
    )
    samples = [disk_sample("there"), disk_sample("new", shape=(50, 50))]
    test = write_disk_corpus(tmp_path / "test", samples=samples)
    tiers = tier_of(test, [remembered(train)])
    rows = evaluate_corpus(BrightnessPredictor(), test, protocol="box", model_name="m", tiers=tiers)
    assert {row.key: row.tier for row in rows} == {
        "disks__there": "seen",
        "disks__new": "held_out_sources",
    }
    assert "1 of its 2 images lie in a training corpus" in caplog.text


def test_a_training_corpus_that_is_gone_or_changed_proves_nothing(
    phantom: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, test = (open_corpus(str(phantom / split)) for split in ("train", "test"))
    alone = open_corpus(str(shutil.copytree(phantom / "test", tmp_path / "test")))
    gone = dataclasses.replace(remembered(train), url="nowhere")
    assert tier_of(alone, [gone]).by_source == {"phantom": "unknown"}
    assert "nowhere" in caplog.text
    changed = dataclasses.replace(remembered(train), content_hash="another")
    assert tier_of(test, [changed]).by_source == {"phantom": "unknown"}
    assert "is not the corpus that the model was trained on" in caplog.text


def test_another_name_of_a_source_is_no_other_source(tmp_path: Path) -> None:
    samples = [disk_sample("here", source="thyroidnodule-tn3k")]
    train = write_disk_corpus(tmp_path / "train", samples=samples, split="train")
    others = [
        disk_sample("there", source=source, shape=shape)
        for source, shape in [("tn3k", (50, 50)), ("busi", (60, 60))]
    ]
    test = write_disk_corpus(tmp_path / "test", samples=others)
    tiers = tier_of(test, [remembered(train)])
    assert tiers.by_source == {"tn3k": "unknown", "busi": "held_out_sources"}


def test_a_training_corpus_that_cannot_be_found_leaves_no_source_held_out(
    phantom: Path, tmp_path: Path
) -> None:
    disks = write_disk_corpus(tmp_path / "disks", samples=[disk_sample("0")])
    moved = dataclasses.replace(remembered(open_corpus(str(phantom / "train"))), url="nowhere")
    assert tier_of(disks, [moved]).by_source == {"disks": "unknown"}


def test_a_build_that_moved_as_a_whole_is_found_again(phantom: Path, tmp_path: Path) -> None:
    train = remembered(open_corpus(str(phantom / "train")))
    shutil.copytree(phantom, tmp_path / "moved")
    test = open_corpus(str(tmp_path / "moved" / "test"))
    for url in ("nowhere", None):
        memory = dataclasses.replace(train, url=url)
        assert tier_of(test, [memory]).by_source == {"phantom": "held_out_subjects"}


def test_a_gate_on_images_that_were_trained_on_is_refused(phantom: Path, tmp_path: Path) -> None:
    train, test = (open_corpus(str(phantom / split)) for split in ("train", "test"))
    refuse_seen(test, trained=[remembered(train)])
    refuse_seen(train, trained=None)
    with pytest.raises(ValueError, match="was trained on this very corpus"):
        refuse_seen(train, trained=[remembered(train)])
    disks = [disk_sample("0"), disk_sample("1", shape=(50, 50))]
    whole = write_disk_corpus(tmp_path / "whole", samples=disks)
    part = write_disk_corpus(tmp_path / "part", samples=disks[:1])
    with pytest.raises(ValueError, match=r"trained on 1 of its images, such as disks__0"):
        refuse_seen(whole, trained=[remembered(part)])


def test_a_run_also_remembers_what_it_began_with(tmp_path: Path) -> None:
    facts = {"content_hash": "abc", "sources": ["disks"], "is_trained_on": True}
    earlier = {"url": "corpora/old", "content_hash": "def", "sources": ["squares"]}
    content = {"corpora": {"corpora/train": facts}, "learnt_from": {"model.base=runs/a": [earlier]}}
    (tmp_path / "environment.json").write_text(json.dumps(content))
    assert [one.content_hash for one in trained_corpora(tmp_path) or []] == ["abc", "def"]
    content["learnt_from"]["initialize_from=file.pth"] = None
    (tmp_path / "environment.json").write_text(json.dumps(content))
    assert trained_corpora(tmp_path) is None


def test_a_run_remembers_what_it_was_trained_on(tmp_path: Path) -> None:
    facts = {"content_hash": "abc", "sources": ["disks"], "is_trained_on": True}
    corpora = {"corpora/train": facts, "corpora/validation": {**facts, "is_trained_on": False}}
    (tmp_path / "environment.json").write_text(json.dumps({"corpora": corpora}))
    (found,) = trained_corpora(tmp_path) or []
    assert found == TrainedCorpus(url="corpora/train", content_hash="abc", sources=("disks",))
    assert trained_corpora(tmp_path / "checkpoints" / "step-00000001") == [found]


def test_without_such_a_memory_the_tier_is_unknown(phantom: Path, tmp_path: Path) -> None:
    assert trained_corpora(tmp_path) is None
    (tmp_path / "environment.json").write_text('{"corpora": {"u": {"content_hash": "abc"}}}')
    assert trained_corpora(tmp_path) is None
    test = open_corpus(str(phantom / "test"))
    assert tier_of(test, None) is NO_TIERS
    assert NO_TIERS.tier(source="phantom", key="phantom__0") == "unknown"
