"""What the answers of an automatic model cost: masks, and whether a category is there at all.

Axis names used in this file:
    answer     one category of one image, image-major
    image, category, row, column
"""

from jaxtyping import Bool, Float
from torch import Tensor

from model import MaskPrediction, ObjectiveConfig, object_losses, presence_losses

from .batches import TrainingBatch

Answers = Float[Tensor, " answer"]


def category_losses(
    prediction: MaskPrediction, *, batch: TrainingBatch, objective: ObjectiveConfig
) -> tuple[dict[str, Answers], Bool[Tensor, " answer"]]:
    """Return the terms, each answer weighted by its share of its image, and whose mask counts.

    Nothing counts where the source does not annotate a category: then nothing is known. Of a model
    that judges presence, the judgement counts for every annotated category and the mask for those
    that are there: what is not there has no outline to learn, and the judgement alone has to say
    so. Of any other model the masks of all annotated categories count, and empty is what is not
    there.
    """
    covered = _union_by_category(batch)
    losses = object_losses(prediction, targets=covered, config=objective)
    if prediction.presence_logits is None:
        return _weighted(losses, _share_of_image(batch.annotated)), batch.annotated.flatten()
    is_present = covered.flatten(1).any(dim=1)
    has_mask = batch.annotated & is_present.view_as(batch.annotated)
    weighted = _weighted(losses, _share_of_image(has_mask))
    presence = presence_losses(
        prediction.presence_logits, is_present=is_present, weight=objective.presence_weight
    )
    weighted["presence"] = _share_of_image(batch.annotated) * presence
    weighted["total"] = weighted["total"] + weighted["presence"]
    return weighted, has_mask.flatten()


def _weighted(losses: dict[str, Answers], share: Answers) -> dict[str, Answers]:
    return {name: share * values for name, values in losses.items()}


def _share_of_image(counts: Bool[Tensor, "image category"]) -> Answers:
    """Return 1 / (categories of its image that count) for those that do, and 0 for the others."""
    share = counts.float() / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return share.flatten()


def _union_by_category(batch: TrainingBatch) -> Float[Tensor, "answer row column"]:
    """Return what each category covers."""
    num_images, num_categories = batch.annotated.shape
    union = batch.images.new_zeros((num_images * num_categories, *batch.masks.shape[1:]))
    is_known = batch.category_index >= 0
    rows = batch.image_index * num_categories + batch.category_index
    for row, mask in zip(rows[is_known].tolist(), batch.masks[is_known], strict=True):
        union[row] = union[row].maximum(mask.to(union.dtype))
    return union
