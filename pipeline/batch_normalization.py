"""Whose images a batch norm takes its mean and deviation from, in a run on several processes."""

import logging

import torch
from torch import nn

_logger = logging.getLogger(__name__)


def synchronise_batch_norms(
    module: nn.Module, *, num_ranks: int, device: torch.device | str
) -> None:
    """Let batch norms see the micro-batches of all ranks, where there is a way to, and say so.

    Args:
        module: Changed in place; its parameters and their names stay.
        num_ranks: Processes that train together.
        device: Where they do.
    """
    num_norms = sum(isinstance(one, nn.BatchNorm2d) for one in module.modules())
    if num_norms == 0 or num_ranks == 1:
        return
    if torch.device(device).type != "cuda":
        _logger.info(
            "%d batch norms stay plain: torch synchronises them on GPUs alone. Each of %d ranks "
            "normalises by its own micro-batch; rank 0's running statistics are scored and saved.",
            num_norms,
            num_ranks,
        )
        return
    nn.SyncBatchNorm.convert_sync_batchnorm(module)
    _logger.info("%d batch norms see the micro-batches of all %d ranks.", num_norms, num_ranks)


def share_running_statistics(module: nn.Module, *, num_ranks: int) -> None:
    """Give every rank rank 0's running statistics, which are those that are saved (collective).

    Else plain batch norms would make each rank score its part of the images with another model.
    """
    norms = [one for one in module.modules() if isinstance(one, nn.BatchNorm2d)]
    if num_ranks > 1:
        for norm in norms:
            for statistic in norm.buffers():
                torch.distributed.broadcast(statistic, src=0)
