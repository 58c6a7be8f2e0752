"""What a prompted segmenter is asked after its first answer.

Axis names used in this file:
    object   one annotated object of the micro-batch
    draw     one number in [0, 1)
    row, column   of the framed image, or of the logits where they are coarser
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from model import ABSENT, MaskPrediction, Prompts, error_clicks

from .config import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """The passes after the first one."""

    clicks_per_pass: tuple[int, ...] = (1,)
    """Clicks, where the answer was wrong, that a pass with clicks adds; of several numbers each
    object draws one. How many such passes there are, the draws of a batch say."""

    num_refinements: int = 0
    """Passes after those, with the previous mask alone, through which gradients flow."""

    candidates_in_last_pass: bool = False
    """Ask for several candidates in the last pass."""

    @classmethod
    def of(cls, config: PretrainConfig) -> Self:
        """Return those of a run."""
        return cls(
            clicks_per_pass=tuple(config.error_clicks_per_pass),
            num_refinements=config.num_mask_refinements,
            candidates_in_last_pass=config.candidates_in_last_pass,
        )

    @property
    def draws_per_pass(self) -> int:
        """Numbers that an object needs for one pass with error clicks."""
        return max(self.clicks_per_pass) + (len(self.clicks_per_pass) > 1)

    def num_passes(self, draws: Float[Tensor, "object draw"]) -> int:
        """Return how many passes there are, the first one included."""
        return 1 + self._num_click_passes(draws) + self.num_refinements

    def wants_candidates(self, number: int, *, num_passes: int) -> bool | None:
        """Return the `multimask` of a pass; None is the model's own habit.

        False beside True, because a habit may itself be several passes (UltraSam's is).
        """
        is_last = number + 1 == num_passes
        return is_last if self.candidates_in_last_pass else None

    def prompts_after(
        self,
        number: int,
        prompts: Prompts,
        prediction: MaskPrediction,
        *,
        masks: Bool[Tensor, "object row column"],
        draws: Float[Tensor, "object draw"],
    ) -> Prompts:
        """Return the prompts of the pass that follows pass `number`.

        Args:
            number: Counted from 0.
            prompts: Those of that pass.
            prediction: What they gave.
            masks: What is to be found.
            draws: The numbers of all passes.
        """
        logits = prediction.best_candidate().low_resolution_logits.float()
        if number >= self._num_click_passes(draws):
            return dataclasses.replace(prompts, mask_logits=logits)
        logits = logits.detach()
        first = number * self.draws_per_pass
        points, labels = self._error_clicks(
            logits[:, 0], masks=masks, draws=draws[:, first : first + self.draws_per_pass]
        )
        if prompts.points is not None and prompts.point_labels is not None:
            points = torch.cat([prompts.points, points], dim=1)
            labels = torch.cat([prompts.point_labels, labels], dim=1)
        return dataclasses.replace(prompts, points=points, point_labels=labels, mask_logits=logits)

    def _num_click_passes(self, draws: Float[Tensor, "object draw"]) -> int:
        return draws.shape[1] // self.draws_per_pass

    def _error_clicks(
        self,
        logits: Float[Tensor, "object _ _"],
        *,
        masks: Bool[Tensor, "object row column"],
        draws: Float[Tensor, "object draw"],
    ) -> tuple[Float[Tensor, "object click 2"], Int[Tensor, "object click"]]:
        """Return as many clicks as the largest choice; those beyond an object's own are absent."""
        most = max(self.clicks_per_pass)
        clicks = [error_clicks(logits, masks, draws[:, place]) for place in range(most)]
        points = torch.cat([point for point, _ in clicks], dim=1)
        labels = torch.cat([label for _, label in clicks], dim=1)
        if len(self.clicks_per_pass) == 1:
            return points, labels
        choices = torch.tensor(self.clicks_per_pass, device=draws.device)
        counts = choices[(draws[:, -1] * len(choices)).long()]
        is_beyond = torch.arange(most, device=draws.device) >= counts[:, None]
        return points, labels.masked_fill(is_beyond, ABSENT)


ONE_CLICK_A_PASS = Corrections()
