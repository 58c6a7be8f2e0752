"""Two gloo ranks are one training: the same parameters as each other's and as one process's."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline.training_data import open_training_data
from tests.support.nano_run import (
    REPOSITORY,
    launcher_environment,
    losses_of,
    nano_config,
    nano_words,
    run_launcher,
)

SCRIPTS = REPOSITORY / "tests" / "support"


def run_ranks(script: str, folder: Path, *words: str, num_ranks: int) -> list[dict[str, Any]]:
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(num_ranks)]
    launcher += ["--master_port", "0", "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    command = [*(launcher if num_ranks > 1 else []), str(SCRIPTS / script), str(folder), *words]
    answer = subprocess.run(
        [sys.executable, *command],
        env=launcher_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    names = [f"rank-{rank}-of-{num_ranks}.json" for rank in range(num_ranks)]
    return [json.loads((folder / name).read_text()) for name in names]


@pytest.mark.distributed
def test_two_ranks_take_the_steps_of_one_process(tmp_path: Path) -> None:
    """With boxes on one rank and clicks on the other, and with no object on rank 0 in step 2."""
    (alone,) = run_ranks("one_rank.py", tmp_path, num_ranks=1)
    ranks = run_ranks("one_rank.py", tmp_path, num_ranks=2)
    assert [(one["num_ranks"], one["initialized"], one["engine"]) for one in ranks] == [
        (2, True, "DDP over gloo")
    ] * 2
    assert ranks[0]["steps"] == ranks[1]["steps"]
    assert [step["num_masks"] for step in ranks[0]["steps"]] == [7, 3, 4]
    assert [step["stop_signal"] for step in ranks[0]["steps"]] == [0, 0, 12]
    for shared, single in zip(ranks[0]["steps"], alone["steps"], strict=True):
        assert shared["loss"] == pytest.approx(single["loss"], rel=1e-5)
        assert shared["norm"] == pytest.approx(single["norm"], rel=1e-4)
    first, second = (load_file(tmp_path / f"rank-{rank}-of-2.safetensors") for rank in range(2))
    single = load_file(tmp_path / "rank-0-of-1.safetensors")
    for one in (alone, *ranks):
        # Only the last rank's half was not finite; every rank has to learn of it.
        assert "The loss of step 4 is not finite" in one["refusal"]["message"]
        assert ", ".join(one["refusal"]["bad_keys"]) in one["refusal"]["message"]
        assert one["refusal"]["is_unmoved"]
    for name, weights in first.items():
        assert torch.equal(weights, second[name]), name
        # Adam divides by the gradient's size, so rounding moves a weight by part of its step.
        torch.testing.assert_close(weights, single[name], rtol=1e-4, atol=2e-5)


@pytest.mark.distributed
def test_a_run_goes_on_with_another_number_of_ranks(nano_corpora: Path, tmp_path: Path) -> None:
    """The same samples in the same steps, validation shared out, one MLflow-free record."""
    options = (
        f"data.validation={nano_corpora / 'validation'}",
        "validation.every_steps=2",
        "data.micro_batch_size=2",
        "run.max_steps=4",
    )
    whole = nano_words(nano_corpora, root=tmp_path, words=(*options, "run.name=whole"))
    begun = nano_words(
        nano_corpora, root=tmp_path, words=(*options, "run.name=cut", "run.max_steps=2")
    )
    rest = nano_words(
        nano_corpora, root=tmp_path, words=(*options, "run.name=cut", "run.num_processes=2")
    )
    for words, num_processes in ((whole, 1), (begun, 1), (rest, 2)):
        code, output = run_launcher(words, num_processes=num_processes)
        assert code == 0, output
    assert "Global batch 4 = 2 ranks x 1 accumulated x 2 images" in output
    alone, shared = losses_of(tmp_path / "whole"), losses_of(tmp_path / "cut")
    assert alone.keys() == shared.keys()
    for step, values in alone.items():
        assert shared[step] == pytest.approx(values, rel=1e-3)
    assert _validations(tmp_path / "cut") == pytest.approx(
        _validations(tmp_path / "whole"), abs=0.05
    )


@pytest.mark.distributed
def test_two_ranks_that_cannot_share_the_batch_end_with_the_reason(
    nano_corpora: Path, tmp_path: Path
) -> None:
    words = nano_words(nano_corpora, root=tmp_path, words=("data.micro_batch_size=4",))
    code, output = run_launcher(words, num_processes=2)
    assert code != 0
    assert "does not divide the 2 samples that each of 2 processes takes" in output


@pytest.mark.distributed
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_ranks_share_out_the_samples_and_a_signal_to_one_breaks_off_the_validation_of_all(
    nano_corpora: Path, tmp_path: Path, num_ranks: int
) -> None:
    reports = run_ranks("signalled_rank.py", tmp_path, str(nano_corpora), num_ranks=num_ranks)
    assert [(one["step"], one["exit_code"]) for one in reports] == [(2, 143)] * num_ranks
    assert all("Stopped by SIGTERM at step 2 of 4" in one["message"] for one in reports)
    assert (tmp_path / "nano" / "checkpoints" / "step-00000002" / "COMPLETE").is_file()
    assert _validations(tmp_path / "nano") == []
    # Of the four samples of a step a rank gets the part that is its own; each comes once.
    planned = _first_keys(nano_corpora, count=8)
    assert len(set(planned)) == 8
    shares = [one["keys"] for one in reports]
    assert [[key for share in shares for key in share[step]] for step in (0, 1)] == [
        planned[:4],
        planned[4:],
    ]
    assert {len(keys) for share in shares for keys in share} == {4 // num_ranks}


def _first_keys(corpora: Path, *, count: int) -> list[str]:
    config = nano_config(corpora, root=corpora)
    data = open_training_data(config.data, seed=config.run.seed)
    addresses = [data.plan.address(position) for position in range(count)]
    return [data.corpora[one.source].read(one.shard, one.sample).key for one in addresses]


def _validations(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["validation/dice"] for row in rows if row["kind"] == "validation"]
