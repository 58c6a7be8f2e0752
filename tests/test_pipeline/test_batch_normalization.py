"""Batch norms are synchronised on GPUs, and on CPUs it is said that they are not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from model import build_segmenter
from pipeline.batch_normalization import synchronise_batch_norms
from tests.support.nano_run import (
    REPOSITORY,
    launcher_environment,
    losses_of,
    nano_words,
    run_launcher,
)


def run_two_ranks(folder: Path) -> list[dict[str, list[float]]]:
    """Run `batch_norm_rank.py` on two ranks and return what each reports."""
    script = REPOSITORY / "tests" / "support" / "batch_norm_rank.py"
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    launcher += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
    subprocess.run(
        [sys.executable, *launcher, str(script), str(folder)],
        env=launcher_environment(),
        check=True,
        timeout=300,
    )
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize(
    ("device", "num_ranks", "kind", "said"),
    [
        ("cuda", 2, nn.SyncBatchNorm, "see the micro-batches of all 2 ranks"),
        ("cpu", 2, nn.BatchNorm2d, "stay plain: torch synchronises them on GPUs alone"),
        ("cuda", 1, nn.BatchNorm2d, ""),
    ],
)
def test_batch_norms_are_synchronised_where_several_gpus_train(
    device: str,
    num_ranks: int,
    kind: type[nn.Module],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    segmenter = build_segmenter("sam_unet_tiny")
    before = dict(segmenter.named_parameters())
    names = list(segmenter.state_dict())
    with caplog.at_level("INFO", logger="pipeline.batch_normalization"):
        synchronise_batch_norms(segmenter, num_ranks=num_ranks, device=device)
    norms = [
        one for one in segmenter.modules() if isinstance(one, (nn.BatchNorm2d, nn.SyncBatchNorm))
    ]
    assert len(norms) == 12
    assert all(type(norm) is kind for norm in norms)
    assert list(segmenter.state_dict()) == names
    assert all(weight is before[name] for name, weight in segmenter.named_parameters())
    assert said in caplog.text
    assert bool(said) == bool(caplog.records)


def test_a_model_without_batch_norms_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="pipeline.batch_normalization"):
        synchronise_batch_norms(build_segmenter("samus_tiny"), num_ranks=2, device="cpu")
    assert not caplog.records


@pytest.mark.distributed
def test_two_cpu_ranks_train_a_model_with_batch_norms_and_say_what_they_see(
    nano_corpora: Path, tmp_path: Path
) -> None:
    options = ("model.preset=sam_unet_tiny", "data.micro_batch_size=2", "run.num_processes=2")
    words = nano_words(nano_corpora, root=tmp_path, words=options)
    code, said = run_launcher(words, num_processes=2)
    assert code == 0, said
    assert said.count("12 batch norms stay plain") == 1
    assert "Grad strides do not match" not in said
    assert sorted(losses_of(tmp_path / "nano")) == [1, 2, 3, 4]


@pytest.mark.distributed
def test_two_cpu_ranks_score_the_running_statistics_that_are_saved(tmp_path: Path) -> None:
    first, second = run_two_ranks(tmp_path)
    assert first["shared"] != second["shared"]  # plain batch norms saw one image each
    assert first["scored"] == second["scored"] == first["shared"]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch finds fewer than two GPUs")
def test_two_gpus_normalise_by_the_images_of_both(tmp_path: Path) -> None:
    first, second = run_two_ranks(tmp_path)
    assert first == second
    assert first["shared"] == pytest.approx(first["alone"], rel=1e-3, abs=1e-6)
