"""Options of AutoSAMUS's training on a SAMUS. Never imports torch."""

from dataclasses import dataclass
from typing import Literal

from omegaconf import MISSING

from .config import PretrainConfig


@dataclass(kw_only=True)
class PromptGeneratorConfig(PretrainConfig):
    """A pretraining run of AutoSAMUS on a trained SAMUS."""

    parent: str = MISSING
    """The SAMUS whose prompts are to be generated: a run, a checkpoint folder, or a published file.
    For the second stage, the AutoSAMUS of the first."""

    train: Literal["generator", "generator_and_adapters"] = "generator"
    """`generator` leaves SAMUS as it is, as released; `generator_and_adapters` trains its branch,
    adapters and positions too, as in the paper. The second is meant to go on from the first."""
