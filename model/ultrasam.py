"""UltraSam: SAM at 1024, fine-tuned as a whole on ultrasound, which refines its own answer.

Published as Meyer et al., "UltraSam" (arXiv 2411.16222). Followed is the released code, with one
exception: its refining pass keeps the prompt as it was given, as in its training, where its
evaluation puts the box of the first answer in the place of a click.
"""

import dataclasses

import torch

from .prompts import ImageFeatures, MaskPrediction, Prompts
from .sam import SamSegmenter
from .ultrasam_config import UltrasamArchitecture


class UltrasamSegmenter(SamSegmenter):
    """UltraSam, asked by a point or a box; any other prompt of SAM's is read as well."""

    def __init__(self, architecture: UltrasamArchitecture) -> None:
        super().__init__(architecture)
        self.num_refinements = architecture.num_refinements
        self.refines_with_candidates = architecture.refines_with_candidates

    @property
    def habitual_masks(self) -> tuple[int, ...]:
        """The single mask of the passes before the last, and what the last one answers with."""
        if not self.refines_with_candidates:
            return (0,)
        candidates = range(1, 1 + self.architecture.num_candidates)
        return (0, *candidates) if self.num_refinements else tuple(candidates)

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return one mask per prompt, refined; a prompt with an earlier mask starts from that.

        With `multimask` given, whether True or False, it is one pass of SAM: that is how training
        makes the passes one by one.
        """
        if multimask is not None:
            return super().decode(features, prompts, multimask)
        prompts = self.check_prompts(prompts, features=features)
        given, has_mask = prompts.mask_logits, prompts.has_mask
        if given is None or has_mask is not None:
            for _ in range(self.num_refinements):
                mask = super().decode(features, prompts, multimask=False).low_resolution_logits
                if given is not None and has_mask is not None:
                    mask = torch.where(has_mask[:, None, None, None], given, mask)
                prompts = dataclasses.replace(prompts, mask_logits=mask, has_mask=None)
        with_candidates = self.refines_with_candidates
        return super().decode(features, prompts, with_candidates).best_candidate()
