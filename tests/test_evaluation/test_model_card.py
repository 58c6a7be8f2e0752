"""What a model card says of the data, the results and the machine."""

import dataclasses
import platform
import re

import pytest

from evaluation import TrainedCorpus, summarise
from evaluation.deployable.measurement import Measurement, processor_name
from evaluation.deployable.model_card import CardFacts, FormFacts, model_card
from evaluation.deployable.parity import parity_of_rows
from shards import open_corpus
from tests.support.corpora import write_toy_corpus
from tests.support.evaluation_records import make_record

COST = Measurement(
    opening_seconds=1.0,
    first_call_seconds=0.2,
    median_seconds=0.1,
    slow_seconds=0.15,
    decoding_seconds=0.01,
    images_per_second=9.0,
    peak_memory_bytes=2**28,
    num_threads=1,
)


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_toy_corpus(str(folder), num_samples=2)
    manifest = open_corpus(str(folder)).manifest
    rows = [
        make_record(key=str(at), subject=str(at), reference_pixels=100 * (1 + at), dice=at / 10)
        for at in range(9)
    ]
    parity = parity_of_rows(rows, rows, max_logit_difference=0.0, num_logit_images=0)
    return CardFacts(
        model_name="toy",
        checkpoint="toy-run/step-00000001",
        segmenter_kind="sam",
        is_automatic=False,
        input_size=64,
        num_parameters=7,
        config_hash="c0ffee",
        training_sources=manifest.sources,
        trained_on=[TrainedCorpus(url=None, content_hash="sha256:aaaa", sources=("toy",))],
        held_out_manifest=manifest,
        summary=summarise(rows),
        forms=[FormFacts(form="float32", parity=parity, measurements=[COST])],
    )


def test_the_processor_is_named_and_memory_of_a_gpu_is_not_claimed(facts):
    card = model_card(facts)
    assert f"({processor_name()}, {platform.system()})" in card
    assert "peak memory of the process, without that of a GPU" in card


def test_what_was_learnt_from_is_named_by_hash(facts):
    card = model_card(facts)
    assert "options: `c0ffee`" in card
    assert "| `sha256:aaaa` | toy |" in card
    assert "taught the weights" not in card


def test_data_of_other_runs_is_told_apart(facts):
    other = TrainedCorpus(url=None, content_hash="sha256:bbbb", sources=("us30k", "toy"))
    card = model_card(dataclasses.replace(facts, trained_on=[*facts.trained_on, other]))
    assert "| `sha256:bbbb` | us30k, toy |" in card
    assert "Of these, us30k taught the weights that it began with" in card


def test_a_card_says_where_nobody_knows_what_was_learnt_from(facts):
    card = model_card(dataclasses.replace(facts, trained_on=None, config_hash=None))
    assert "the corpora are not known; some of them may hold the images below" in card
    assert "options:" not in card


def test_results_stand_by_size_as_well(facts):
    lines = model_card(facts).splitlines()
    told = next(line for line in lines if line.startswith("Thirds by the structure's share"))
    assert re.search(r"parted at [0-9.]+ % and [0-9.]+ %:", told)
    rows = {line.split(" | ")[0]: line for line in lines if line.startswith("| ")}
    for name, mean in [("small", "0.100"), ("medium", "0.400"), ("large", "0.700")]:
        assert f"| {name} | 3 | 3 | {mean} [" in rows[f"| {name}"]
