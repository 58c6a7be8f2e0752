"""What a run's options accept, and what they refuse before anything expensive."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import PretrainConfig, describe_options, load_config

REPOSITORY = Path(__file__).resolve().parents[2]
PRESETS = REPOSITORY / "launchers" / "presets"
NEEDED = ["run.name=a", "data.train=corpus", "model.preset=samus_tiny"]


def load(*words: str) -> PretrainConfig:
    return load_config(PretrainConfig, [*NEEDED, *words], presets=PRESETS)


def test_one_url_stands_for_one_source_of_weight_one() -> None:
    (source,) = load("data.train=s3://bucket/us30k/train").data.sources
    assert (source.url, source.weight) == ("s3://bucket/us30k/train", 1.0)


def test_several_sources_have_their_weights() -> None:
    sources = load("data.train=[{url: a/train, weight: 2}, b/train]").data.sources
    assert [(one.url, one.weight) for one in sources] == [("a/train", 2.0), ("b/train", 1.0)]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.train=[]", "data.train is"),
        ("data.train=[{path: a}]", "expected the keys url and weight"),
        ("data.train=[{url: a, weight: 0}]", "must be positive"),
        ("data.train=[{url: a, weight: null}]", "expected a number"),
        ("data.train=[{url: a", "not valid YAML"),
        ("run.seed=9223372036854775808", "run.seed is"),
        ("data.micro_batch_size=3", "data.global_batch_size=8 is not a multiple"),
        ("run.max_steps=0", "run.max_steps is 0"),
        ("run.name=a/b", "run.name is a/b"),
        ("optimizer.peak_learning_rate=-1", "optimizer.peak_learning_rate is -1"),
        ("optimizer.ema_decay=1", "optimizer.ema_decay is 1"),
        ("checkpoint.keep=1", "checkpoint.keep is 1"),
        ("run.max_steps=100", "optimizer.warmup_steps=250"),
        ("optimizer.peak_learning_rat=1", "peak_learning_rate"),
        ("precision=float16", "float32"),
        ("validation.score=hd95", "dice"),
        ("objective.dice_weight=-1", "objective.dice_weight"),
        ("error_clicks_per_pass=[]", "error_clicks_per_pass is"),
        ("error_clicks_per_pass=[0,3]", "error_clicks_per_pass is"),
        ("num_mask_refinements=-1", "num_mask_refinements is -1"),
        ("prompts.box_shift_pixels=-1", "prompts.box_shift_pixels"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load(word)


def test_candidates_without_a_second_pass_are_refused() -> None:
    with pytest.raises(ValueError, match=r"candidates_in_last_pass=true needs a second pass"):
        load("num_error_clicks=0", "candidates_in_last_pass=true")


def test_what_has_no_honest_default_must_be_given() -> None:
    with pytest.raises(ValueError, match=r"data\.train.*model\.preset.*run\.name"):
        load_config(PretrainConfig, [])


def test_every_option_has_a_text() -> None:
    assert [option.name for option in describe_options(PretrainConfig) if not option.text] == []


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_every_preset_is_a_whole_run_once_the_data_is_named(preset: str) -> None:
    config = load_config(PretrainConfig, [f"preset={preset}", "data.train=corpus"], presets=PRESETS)
    assert config.run.name == preset


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys; from launchers.pretrain import main; sys.argv = ['pretrain.py', '--help']; "
        "main(); assert 'torch' not in sys.modules and 'mlflow' not in sys.modules"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "optimizer.peak_learning_rate (float; default 0.0001)" in answer.stdout
