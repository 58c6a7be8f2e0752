"""One micro-batch's forward pass, whole: encoding, every pass of prompts, losses.

Engines hook only `forward` of the module they wrap. So everything that needs a gradient is in the
`forward` of this one, and nothing calls `encode` or `decode` beside it while training.

Axis names used in this file:
    object   one annotated object of the micro-batch; of an automatic model, one image and category
    image    images of the micro-batch
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model import (
    ABSENT,
    ImageFeatures,
    MaskPrediction,
    ObjectiveConfig,
    Prompts,
    Segmenter,
    object_losses,
)

from .batches import TrainingBatch
from .category_losses import category_losses
from .correction import ONE_CLICK_A_PASS, Corrections
from .distillation import Teacher

TAUGHT_FEATURES, TAUGHT_MASKS = "taught_features", "taught_masks"
"""Terms of a step that has a teacher; the first has a row for each image."""


@dataclass(frozen=True, kw_only=True)
class LossTerms:
    """What a micro-batch costs."""

    total: Tensor
    """To call backward on: this rank's share, scaled for the mean that the engine takes."""

    sums: Mapping[str, Tensor]
    """Each term summed over the images, without a graph; divided by the global batch size and
    summed over micro-batches and ranks it is the loss of the step."""

    num_masks: int
    """Objects asked about, further passes not counted."""


class TrainingStep(nn.Module):
    """A segmenter and what it costs on a micro-batch.

    The loss of a step is the mean over an image's objects, summed over the images and divided by
    the global batch size: constants all, so that one process, several and accumulation agree.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        objective: ObjectiveConfig,
        global_batch_size: int,
        num_ranks: int,
        precision: str = "float32",
        corrections: Corrections = ONE_CLICK_A_PASS,
        teacher: Teacher | None = None,
    ) -> None:
        """Wrap a segmenter.

        Args:
            segmenter: What is trained.
            objective: Loss terms and their weights.
            global_batch_size: Images per optimizer step over all ranks.
            num_ranks: The engine averages gradients over so many; the loss is scaled up by it.
            precision: `float32`, or `bfloat16` for autocast in encoder and decoder.
            corrections: What prompted segmenters are asked after their first answer.
            teacher: A model whose features and masks are learnt too.
        """
        super().__init__()
        self.segmenter = segmenter
        self._objective = objective
        self._corrections = corrections
        self._teacher = teacher
        self._scale = num_ranks / global_batch_size
        self._autocast_dtype = torch.bfloat16 if precision == "bfloat16" else None

    def forward(self, batch: TrainingBatch) -> LossTerms:
        """Return the loss terms of a micro-batch, each image encoded once.

        Every rank makes the same passes and touches every trainable parameter, also where its
        images hold no object.
        """
        if self.segmenter.is_automatic:
            losses, is_counted = self._answer_categories(batch)
        else:
            losses, is_counted = self._answer_prompts(_with_stand_in(batch))
        sums = {name: values.sum() for name, values in losses.items()}
        if TAUGHT_FEATURES in sums:
            sums["total"] = sums["total"] + sums[TAUGHT_FEATURES]
        return LossTerms(
            total=sums["total"] * self._scale,
            sums={name: value.detach() for name, value in sums.items()},
            num_masks=int(is_counted.sum()),
        )

    def _answer_prompts(self, batch: TrainingBatch) -> tuple[dict[str, Tensor], Tensor]:
        """Ask about every object, then once more for each correction; passes count alike."""
        with self._autocast(batch.images.device):
            features, taught = self._encode(batch.images)
        targets, prompts = batch.masks.float(), batch.prompts
        draws, corrections = batch.error_click_draws, self._corrections
        num_passes = corrections.num_passes(draws)
        passes: list[dict[str, Tensor]] = []
        for number in range(num_passes):
            multimask = corrections.wants_candidates(number, num_passes=num_passes)
            with self._autocast(batch.images.device):
                prediction = self.segmenter.decode(features, prompts, multimask)
                masks = self._taught_masks(prediction, prompts, taught=taught)
            passes.append(_with_term(self._losses(prediction, targets), TAUGHT_MASKS, masks))
            if number + 1 < num_passes:
                prompts = corrections.prompts_after(
                    number, prompts, prediction, masks=batch.masks, draws=draws
                )
        share = _share_of_image(batch)
        weighted = {
            name: share * (sum(one[name] for one in passes) / num_passes) for name in passes[0]
        }
        return weighted | self._taught_features(features, taught=taught), share > 0

    def _answer_categories(self, batch: TrainingBatch) -> tuple[dict[str, Tensor], Tensor]:
        """Ask for every category."""
        with self._autocast(batch.images.device):
            features, taught = self._encode(batch.images)
            prediction = self.segmenter.decode(features)
            masks = self._taught_masks(prediction, None, taught=taught)
        losses, is_counted = category_losses(prediction, batch=batch, objective=self._objective)
        if masks is not None:
            losses = _with_term(losses, TAUGHT_MASKS, masks / len(self.segmenter.categories))
        return losses | self._taught_features(features, taught=taught), is_counted

    def _encode(self, images: Tensor) -> tuple[ImageFeatures, ImageFeatures | None]:
        """Return the features of a batch, and the teacher's."""
        taught = None if self._teacher is None else self._teacher.look(images)
        return self.segmenter.encode(images), taught

    def _taught_features(
        self, features: ImageFeatures, *, taught: ImageFeatures | None
    ) -> dict[str, Tensor]:
        if self._teacher is None or taught is None or not self._teacher.config.feature_weight:
            return {}
        return {TAUGHT_FEATURES: self._teacher.feature_loss(features, taught=taught)}

    def _taught_masks(
        self, prediction: MaskPrediction, prompts: Prompts | None, *, taught: ImageFeatures | None
    ) -> Tensor | None:
        if self._teacher is None or taught is None or not self._teacher.config.mask_weight:
            return None
        return self._teacher.mask_loss(prediction, prompts, taught=taught)

    def _losses(self, prediction: MaskPrediction, targets: Tensor) -> dict[str, Tensor]:
        return object_losses(prediction, targets=targets, config=self._objective)

    def _autocast(self, device: torch.device) -> torch.autocast:
        is_on = self._autocast_dtype is not None
        return torch.autocast(device.type, dtype=self._autocast_dtype, enabled=is_on)


def _with_term(losses: dict[str, Tensor], name: str, term: Tensor | None) -> dict[str, Tensor]:
    """Return the terms with one more, which the total has as well."""
    if term is None:
        return losses
    return losses | {name: term, "total": losses["total"] + term}


def _with_stand_in(batch: TrainingBatch) -> TrainingBatch:
    """Return the batch; one without objects gets an empty one, which `_share_of_image` weighs 0.

    So the rank makes the same passes through the same parameters as the others.
    """
    if batch.image_index.shape[0]:
        return batch
    images, slots = batch.images, batch.prompts.points
    num_slots = 1 if slots is None else slots.shape[1]
    first_image = torch.zeros(1, dtype=torch.long, device=images.device)
    prompts = Prompts(
        image_index=first_image,
        points=images.new_zeros((1, num_slots, 2)),
        point_labels=torch.full((1, num_slots), ABSENT, device=images.device),
    )
    return dataclasses.replace(
        batch,
        masks=torch.zeros((1, *images.shape[-2:]), dtype=torch.bool, device=images.device),
        image_index=torch.full_like(first_image, _NO_IMAGE),
        prompts=prompts,
        error_click_draws=images.new_zeros((1, batch.error_click_draws.shape[1])),
        category_index=torch.full_like(first_image, -1),
    )


_NO_IMAGE = -1


def _share_of_image(batch: TrainingBatch) -> Tensor:
    """Return 1 / (objects of its image) for every object, and 0 for a stand-in."""
    is_real = batch.image_index != _NO_IMAGE
    places = batch.image_index.clamp(min=0)
    counts = torch.bincount(places, minlength=batch.images.shape[0])
    return is_real.float() / counts[places].float()
