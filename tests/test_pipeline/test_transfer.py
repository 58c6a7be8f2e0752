import json
from pathlib import Path

import pytest
import torch

from launchers.command_line import run_command
from launchers.transfer import transfer
from model import build_segmenter, feature_extractor
from pipeline.options import load_config
from pipeline.transfer.config import EncoderSource, TransferConfig
from pipeline.transfer.data import TransferBatch, classes_of, labelled_images, labelled_part
from pipeline.transfer.heads import Classifier, LightDecoder, train_head
from pipeline.transfer.job import open_encoder, run_transfer
from pipeline.transfer.report import write_transfer
from shards import open_corpus, write_corpus
from tests.support.corpora import build_phantom, describe_source, make_sample


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    build_phantom(folder, num_subjects=24, frames_per_subject=1)
    return folder


def config(corpus: Path, *words: str) -> TransferConfig:
    given = [
        f"output={corpus}/transfer",
        f"train={corpus}/train",
        f"test={corpus}/test",
        "encoders={first: {preset: sam_tiny}, second: {preset: samus_tiny}}",
        "num_workers=0",
        "intervals.num_resamples=50",
    ]
    return load_config(TransferConfig, [*given, *words])


@pytest.mark.slow
def test_a_corpus_trains_and_scores_every_method_and_share(corpus: Path) -> None:
    given = config(corpus, "fractions=[0.3,1]", "max_steps=2", "batch_size=2")
    outcome = run_transfer(given)
    methods = ("linear_probe", "nearest_neighbours", "fine_tune")
    expected = [
        (encoder, method, fraction)
        for encoder in ("first", "second")
        for method in methods
        for fraction in (0.3, 1.0)
    ]
    assert [(row.encoder, row.method, row.fraction) for row in outcome.rows] == expected
    assert all(0 <= row.scores["macro_f1"].mean <= 1 for row in outcome.rows)
    assert [bool(row.differences) for row in outcome.rows] == [False] * 6 + [True] * 6
    table = write_transfer(outcome, folder=Path(given.output))
    written = json.loads((Path(given.output) / "transfer.json").read_text())
    assert len(table.rows) == len(written["rows"]) == 12
    assert (Path(given.output) / "curves.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_decoder_is_scored_by_the_dice_of_what_is_annotated(corpus: Path) -> None:
    words = ("task=segmentation", "max_steps=2", "batch_size=2", "methods=[frozen]")
    outcome = run_transfer(config(corpus, *words))
    (first, second) = outcome.rows
    test = open_corpus(f"{corpus}/test")
    assert first.num_labelled == open_corpus(f"{corpus}/train").num_samples
    assert 0 < first.scores["dice"].num_rows <= test.num_samples * len(outcome.classes)
    assert second.differences["dice"].mean == pytest.approx(
        second.scores["dice"].mean - first.scores["dice"].mean, abs=0.2
    )


@pytest.mark.slow
def test_held_out_images_without_a_label_are_warned_of(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_phantom(tmp_path, num_subjects=3, frames_per_subject=1, seed=3)
    words = ("methods=[nearest_neighbours]", "encoders={a: {preset: sam_tiny}}")
    classes = run_transfer(config(corpus, *words, f"test={tmp_path}/test")).classes
    (warning,) = [line for line in caplog.messages if "have no image of" in line]
    held_out = labelled_images([open_corpus(f"{tmp_path}/test")], label="category", classes=classes)
    there = {classes[image.label] for image in held_out}
    named = warning.partition("have no image of ")[2].partition(":")[0].split(", ")
    assert 0 < len(there) < len(classes)
    assert sorted([*named, *there]) == sorted(classes)


@pytest.mark.slow
def test_the_same_command_gives_the_same_numbers(corpus: Path) -> None:
    given = config(corpus, "methods=[fine_tune]", "max_steps=2", "encoders={a: {preset: sam_tiny}}")
    first, second = run_transfer(given), run_transfer(given)
    assert repr(first) == repr(second)  # a score that cannot be measured is NaN, equal to nothing


@pytest.mark.slow
@pytest.mark.parametrize("label", ["category", "source"])
def test_fine_tuning_begins_with_the_answers_of_the_linear_probe(
    corpus: Path, tmp_path: Path, label: str
) -> None:
    """With as good as no learning it keeps them, among three classes and between two."""
    words = ["methods=[linear_probe,fine_tune]"]
    words += ["max_steps=1", "peak_learning_rate=1e-12", "encoder_learning_rate=1e-12"]
    if label == "source":
        for split, numbers in (("train", range(6)), ("test", range(6, 10))):
            write_corpus(
                (make_sample(number) for number in numbers),
                str(tmp_path / split),
                split=split,
                sources=[describe_source()],
                max_samples_per_shard=4,
            )
            words.append(f"{split}=[{corpus / split},{tmp_path / split}]")
        words.append("label=source")
    else:
        build_phantom(tmp_path, num_subjects=24, frames_per_subject=1, seed=5)
        words.append(f"test={tmp_path}/train")  # all three classes
    rows = run_transfer(config(corpus, *words)).rows
    assert len(rows) == 4
    for probed, tuned in zip(rows[::2], rows[1::2], strict=True):
        for name in ("macro_f1", "auroc"):
            assert tuned.scores[name].mean == pytest.approx(probed.scores[name].mean)


@pytest.mark.parametrize("head", [Classifier, LightDecoder])
@pytest.mark.parametrize("encoder_rate", [None, 1e-3])
def test_a_frozen_encoder_stays_as_it_is_and_a_tuned_one_moves(
    head: type[Classifier] | type[LightDecoder], encoder_rate: float | None
) -> None:
    module = head(feature_extractor(build_segmenter("samus_tiny")), 2)
    batch = TransferBatch(
        images=torch.rand(2, 1, 64, 64),
        labels=torch.tensor([0, 1]),
        masks=torch.rand(2, 2, 64, 64) > 0.5,
        annotated=torch.tensor([[True, True], [False, True]]),
    )
    before = {name: one.detach().clone() for name, one in module.named_parameters()}
    train_head(module, [batch], num_steps=2, head_rate=1e-2, encoder_rate=encoder_rate)
    moved = {name for name, one in module.named_parameters() if not torch.equal(one, before[name])}
    of_encoder = {name for name in moved if name.startswith("encoder.")}
    assert moved - of_encoder
    assert bool(of_encoder) == (encoder_rate is not None)


def test_what_a_source_does_not_annotate_costs_a_decoder_nothing() -> None:
    module = LightDecoder(feature_extractor(build_segmenter("sam_tiny")), 2)
    images = torch.rand(1, 3, 64, 64)
    losses = [
        module.loss(
            TransferBatch(
                images=images,
                labels=torch.tensor([0]),
                masks=torch.stack([torch.ones(64, 64) > 0, torch.full((64, 64), drawn)])[None],
                annotated=torch.tensor([[True, False]]),
            )
        )
        for drawn in (False, True)
    ]
    assert losses[0] == losses[1]


def test_smaller_shares_are_parts_of_larger_ones_and_hold_every_class(corpus: Path) -> None:
    train = [open_corpus(f"{corpus}/train")]
    classes = classes_of(train, label="category")
    images = labelled_images(train, label="category", classes=classes)
    shares = [labelled_part(images, fraction=share, seed=0) for share in (0.01, 0.3, 0.6, 1.0)]
    places = [{one.index for one in share} for share in shares]
    assert places[0] < places[1] < places[2] < places[3]
    assert {one.label for one in shares[0]} == set(range(len(classes)))
    assert len(shares[0]) == len(classes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["label=source"], "a classification needs two"),
        (["encoders={a: {preset: sam_tinny}}"], "there is no preset sam_tinny"),
        pytest.param(
            ["encoders={a: {preset: unet_tiny}}"], "has no image encoder", marks=pytest.mark.slow
        ),
        (["encoders={a: nowhere}"], "there is no run or checkpoint nowhere"),
        (["encoders=samus_tiny"], "expected names"),
        (["encoders={a: {file: x}}"], r"encoders\.a is"),
        (["methods=[probing]"], "methods is probing"),
        (["methods=[frozen]"], "methods is frozen"),
        (["fractions=[0]"], "fractions is"),
        (["reference=other"], "reference is other"),
        (["test=nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    corpus: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    given = [
        f"output={corpus}/refused",
        f"train={corpus}/train",
        f"test={corpus}/test",
        "encoders={a: {preset: sam_tiny}}",
    ]
    assert run_command(TransferConfig, transfer, arguments=[*given, *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    assert message.replace("\\", "") in line
    assert not (corpus / "refused").exists()


def test_random_weights_depend_on_the_seed_alone() -> None:
    source = EncoderSource(preset="sam_tiny")
    one, same, other = (open_encoder("a", source, seed=seed) for seed in (0, 0, 1))
    weights = [next(iter(each.parameters())) for each in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
