"""Run by each of two ranks: one of two images each, and the first batch norm's mean after it.

torchrun --nproc_per_node 2 tests/support/batch_norm_rank.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch

from model.residual_branch import ResidualBranch
from model.sam_unet_config import SamUnetArchitecture
from pipeline.batch_normalization import share_running_statistics, synchronise_batch_norms
from pipeline.config import RunConfig
from pipeline.process_group import leave_process_group, start_process_group


def mean_of(branch: ResidualBranch) -> list[float]:
    """Return the running mean of the first batch norm."""
    return branch.get_buffer("stages.0.1.running_mean").tolist()


def mean_after(branch: ResidualBranch, images: torch.Tensor) -> list[float]:
    """Return the running mean of the first batch norm, after it saw `images`."""
    branch(images)
    return mean_of(branch)


def branch_on(device: torch.device) -> ResidualBranch:
    """Return the same small branch on every rank."""
    torch.manual_seed(0)
    architecture = SamUnetArchitecture(branch_blocks=(1, 1, 1, 1), branch_channels=(8, 8, 8, 8))
    return ResidualBranch(architecture).to(device).train()


if __name__ == "__main__":
    ranks = start_process_group(RunConfig(name="none", num_processes=2), precision="float32")
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).to(ranks.device)
    shared = branch_on(ranks.device)
    synchronise_batch_norms(shared, num_ranks=2, device=ranks.device)
    report = {
        "shared": mean_after(shared, pictures[ranks.rank][None]),
        "alone": mean_after(branch_on(ranks.device), pictures),
    }
    share_running_statistics(shared, num_ranks=2)
    report["scored"] = mean_of(shared)
    (Path(sys.argv[1]) / f"rank-{ranks.rank}.json").write_text(json.dumps(report))
    leave_process_group()
