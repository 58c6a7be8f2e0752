import hashlib
import json
from collections import Counter

import pytest

from shards import BuildConfig, build_corpora, open_corpus
from shards.build_report import BuildReport
from shards.patient_split import (
    check_held_out,
    check_leaks,
    group_of,
    leave_out_excluded,
    split_of_sample,
    split_of_subject,
)
from shards.sources import PlannedSample
from tests.support.corpora import build_phantom, make_us30k

FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.2}


def test_subjects_fall_into_the_splits_in_the_asked_shares():
    splits = Counter(
        split_of_subject("toy", subject=str(number), seed=0, **FRACTIONS) for number in range(4000)
    )
    assert splits["test"] / 4000 == pytest.approx(0.2, abs=0.02)
    assert splits["validation"] / 4000 == pytest.approx(0.1, abs=0.02)


def test_a_subject_keeps_its_split_and_another_seed_draws_anew():
    def draw(seed):
        return [
            split_of_subject("toy", subject=str(number), seed=seed, **FRACTIONS)
            for number in range(100)
        ]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_without_held_out_shares_everything_is_for_training():
    splits = {
        split_of_subject(
            "toy", subject=str(number), seed=0, validation_fraction=0.0, test_fraction=0.0
        )
        for number in range(100)
    }
    assert splits == {"train"}


def plan(number, *, subject=None, sequence=None, split=None, source="toy"):
    key = f"{source}__{number}"
    return PlannedSample(
        key=key,
        source=source,
        subject=subject or key,
        subject_is_known=subject is not None,
        split=split,
        where=f"{number}.png",
        fingerprint="",
        read=pytest.fail,
        sequence=sequence,
    )


def splits_of(samples, **options):
    config = BuildConfig(source="toy", output="out", **options)
    return [split_of_sample(planned, config=config) for planned in samples]


def test_a_group_is_a_subject_before_a_sequence_before_an_image():
    assert group_of(plan(1, subject="s", sequence="v")) == "s"
    assert group_of(plan(1, sequence="v")) == "sequence v"
    assert group_of(plan(1)) == "toy__1"


def test_frames_of_one_sequence_of_an_unknown_subject_stay_together():
    for sequence in range(30):
        frames = [plan(number, sequence=f"video-{sequence}") for number in range(8)]
        assert len(set(splits_of(frames, splits="subject"))) == 1
    assert len(set(splits_of([plan(number) for number in range(60)], splits="subject"))) == 3


def test_the_official_test_list_is_kept_and_the_rest_is_drawn():
    listed = [plan(number, split=("test" if number % 4 == 0 else "train")) for number in range(200)]
    drawn = splits_of(listed, splits="official_test", test_fraction=0.5)
    tests = [split == "test" for split in drawn]
    assert tests == [planned.split == "test" for planned in listed]
    assert 5 <= drawn.count("validation") <= 30


@pytest.mark.parametrize("splits", ["official", "official_test", "subject"])
def test_a_source_that_is_held_out_is_for_the_test_alone(splits):
    samples = [plan(number, source="other", split="train") for number in range(20)]
    assert set(splits_of(samples, splits=splits, held_out_sources=["other"])) == {"test"}


def test_a_held_out_source_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="bsui is none of the sources: busi, tn3k"):
        check_held_out(["bsui"], known=["tn3k", "busi"])


def test_a_sequence_in_two_splits_is_a_leak():
    frames = [plan(number, sequence="video") for number in range(2)]
    report = BuildReport()
    config = BuildConfig(source="toy", output="out")
    samples = {"train": frames[:1], "validation": [], "test": frames[1:]}
    assert check_leaks(samples, config=config, report=report) == 1
    assert "sequence video: 0.png in train, 1.png in test" in report.describe_problems()


def test_a_list_of_an_audit_takes_out_of_the_split_it_names(tmp_path):
    samples = {"train": [plan(1), plan(2)], "validation": [], "test": [plan(2)]}
    path = tmp_path / "excluded.txt"
    path.write_text("train toy__2\ntrain other__9\n")
    assert leave_out_excluded(samples, excluded=str(path)) == 1
    assert [planned.key for planned in samples["train"]] == ["toy__1"]
    assert [planned.key for planned in samples["test"]] == ["toy__2"]
    path.write_text("toy__2\n")
    with pytest.raises(ValueError, match=r"line 1 is 'toy__2'; expected SPLIT KEY"):
        leave_out_excluded(samples, excluded=str(path))


def test_a_build_lists_the_keys_of_every_split_and_hashes_the_lists(tmp_path):
    out = build_phantom(tmp_path / "out")
    fields = json.loads((out / "corpus.json").read_text())
    assert set(fields["list_sha256"]) == {"train", "validation", "test"}
    for split, sha256 in fields["list_sha256"].items():
        content = (out / f"{split}.txt").read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
        corpus = open_corpus(str(out / split))
        keys = sorted(corpus.read_flat(index).key for index in range(corpus.num_samples))
        assert content.decode().split() == keys


def test_a_whole_source_is_held_out_of_a_build(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    manifests = build_corpora(
        tree.config(tmp_path / "out", held_out_sources=["echocardiography-camus"])
    )
    sources = {
        split: [source.name for source in manifest.sources if source.num_samples]
        for split, manifest in manifests.items()
    }
    assert sources["train"] == ["fetalhead-hc18"]
    assert manifests["test"].num_samples == 3


def test_an_image_of_the_official_test_list_is_never_drawn_for_training(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    tree.write_list("val", ["1/FetalHead-HC18/003_HC"])
    manifests = build_corpora(tree.config(tmp_path / "out", splits="official_test"))
    assert "fetalhead-hc18__003_hc" in (tmp_path / "out/test.txt").read_text()
    assert manifests["test"].num_samples == 2
    assert sum(manifest.num_samples for manifest in manifests.values()) == 5
