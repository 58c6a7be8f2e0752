"""AdamW over the trainable parameters, and its state under the parameters' names."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from .config import OptimizerConfig

MOMENTS = ("exp_avg", "exp_avg_sq")
STATE_KEYS = (*MOMENTS, "step")


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that train, by name."""
    return {name: one for name, one in module.named_parameters() if one.requires_grad}


def build_optimizer(module: nn.Module, *, config: OptimizerConfig) -> AdamW:
    """Return AdamW over what is trainable; only matrices and kernels decay.

    The learning rate is set before each step, see `set_learning_rate`.
    """
    trainable = list(trainable_parameters(module).values())
    if not trainable:
        raise ValueError("No parameter of the model is trainable: there is nothing to train.")
    groups = [
        {
            "params": [one for one in trainable if one.ndim >= 2],
            "weight_decay": config.weight_decay,
        },
        {"params": [one for one in trainable if one.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=config.peak_learning_rate,
        betas=(config.beta1, config.beta2),
    )


def set_learning_rate(optimizer: Optimizer, *, learning_rate: float) -> None:
    """Set the rate of the next step in every group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def optimizer_state(optimizer: Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Return NAME.exp_avg, NAME.exp_avg_sq and NAME.step of every parameter that has stepped."""
    return {
        f"{name}.{key}": optimizer.state[parameter][key].detach()
        for name, parameter in trainable_parameters(module).items()
        if parameter in optimizer.state
        for key in STATE_KEYS
    }


def load_optimizer_state(
    optimizer: Optimizer, module: nn.Module, *, tensors: Mapping[str, Tensor]
) -> None:
    """Give every parameter of the optimizer its saved moments and step count.

    Raises:
        ValueError: The tensors are not those of exactly these parameters.
    """
    named = trainable_parameters(module)
    check_state(tensors, names=named)
    for name, parameter in named.items():
        if tensors:
            optimizer.state[parameter] = {
                key: _like(tensors[f"{name}.{key}"], parameter, key=key) for key in STATE_KEYS
            }


def check_state(tensors: Mapping[str, Tensor], *, names: Iterable[str]) -> None:
    """Refuse a saved state of other parameters than those named; an empty one fits all."""
    expected = {f"{name}.{key}" for name in names for key in STATE_KEYS}
    if tensors and expected != set(tensors):
        different = sorted(expected ^ set(tensors))
        raise ValueError(
            f"The saved optimizer state does not fit: {len(different)} entries differ, such as "
            f"{different[0]}. Start from the weights alone with initialize_from=."
        )


def _like(saved: Tensor, parameter: nn.Parameter, *, key: str) -> Tensor:
    # AdamW keeps its step count on the CPU unless it is fused or capturable.
    device = torch.device("cpu") if key == "step" else parameter.device
    return saved.to(device, copy=True)
