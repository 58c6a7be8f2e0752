"""DDP and ZeRO over NCCL on the GPUs that are there. Not run, and not claimed, without one."""

from pathlib import Path

import pytest
import torch

from tests.support.engine_launch import Inputs, Launch, launch_engine, save_base

STAGES = ("", "_zero1", "_zero2", "_zero3")
MOST_GPUS = 2
"""The steps made by hand are cut in two halves."""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


@pytest.fixture(scope="module")
def launches(nano_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Launch]:
    """Every engine once, on one GPU or two."""
    root = tmp_path_factory.mktemp("engines")
    inputs = Inputs(corpora=nano_corpora, base=save_base(root / "sam.pth"))
    num_gpus = min(torch.cuda.device_count(), MOST_GPUS)
    place = "one_gpu" if num_gpus == 1 else "one_node"
    return {
        stage: launch_engine(
            f"{place}{stage}",
            folder=root / f"gpu{stage}",
            inputs=inputs,
            num_steps=50,
            num_gpus=num_gpus,
        )
        for stage in STAGES
    }


@pytest.mark.parametrize("stage", STAGES[1:])
def test_zero_over_nccl_takes_the_steps_of_ddp(stage: str, launches: dict[str, Launch]) -> None:
    plain = launches[""].ranks[0]
    for rank in launches[stage].ranks:
        assert rank["engine"] == f"ZeRO-{stage[-1]} over NCCL"
        for preset, steps in plain["steps"].items():
            assert rank["steps"][preset]["losses"] == pytest.approx(steps["losses"], rel=1e-2)
        assert rank["bfloat16"]["losses"] == pytest.approx(plain["bfloat16"]["losses"], rel=1e-2)


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_on_gpus_goes_on_where_it_stopped(stage: str, launches: dict[str, Launch]) -> None:
    for rank in launches[stage].ranks:
        again, whole = ([loss for loss, _ in rank[name]["losses"]] for name in ("again", "whole"))
        assert again == pytest.approx(whole, rel=1e-2)
        assert rank["again"]["changed"] == []
