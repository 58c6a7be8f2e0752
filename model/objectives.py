"""Losses per object: what a predicted mask costs against the mask that was drawn.

Axis names used in this file:
    object      one annotated object, and the one prompt that asks for it
    candidate   the masks offered for one prompt; one unless the decoder was asked for several
    row         rows of the grid that the logits lie on
    column      columns of that grid

Nothing here averages over objects: the training step does, by a constant, so that one process, two
processes and accumulation agree. No objects give empty tensors that are still part of the graph.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from .objective_config import ObjectiveConfig
from .prompts import MaskPrediction


def object_losses(
    prediction: MaskPrediction,
    *,
    targets: Float[Tensor, "object target_row target_column"],
    config: ObjectiveConfig,
) -> dict[str, Float[Tensor, " object"]]:
    """Return the weighted loss terms of every object, and their sum as `total`.

    Logits are taken to float32 first: in bfloat16 the sums over pixels would be rounded. Of several
    candidates the one with the lowest mask loss counts, and it alone gets a gradient (as SAM).

    Args:
        prediction: Logits in the order of `targets`.
        targets: Masks in [0, 1] on any grid of the same framing.
        config: Which terms, and how much each weighs.
    """
    logits = prediction.low_resolution_logits.float()
    masks = resize_targets(targets, rows=logits.shape[-2], columns=logits.shape[-1])
    masks = masks[:, None].expand_as(logits)
    terms = _mask_terms(logits, masks=masks, config=config)
    chosen = sum(terms.values(), torch.zeros_like(logits[..., 0, 0])).argmin(dim=1)
    losses = {name: _take(term, candidate=chosen) for name, term in terms.items()}
    if config.uses_predicted_iou:
        losses["iou"] = config.iou_weight * _iou_error(prediction, masks=masks, candidate=chosen)
    return {**losses, "total": sum(losses.values(), torch.zeros_like(logits[:, 0, 0, 0]))}


def presence_losses(
    logits: Float[Tensor, " object"], *, is_present: Bool[Tensor, " object"], weight: float
) -> Float[Tensor, " object"]:
    """Return the weighted cross-entropy of what a model says about a category being there at all.

    Args:
        logits: Before the sigmoid; in float32 from here on.
        is_present: Whether the image shows the category.
        weight: `objective.presence_weight`.
    """
    entropy = functional.binary_cross_entropy_with_logits(
        logits.float(), is_present.float(), reduction="none"
    )
    return weight * entropy


def resize_targets(
    targets: Float[Tensor, "object target_row target_column"], *, rows: int, columns: int
) -> Float[Tensor, "object row column"]:
    """Average the masks over the cells of the logits' grid; the result is in [0, 1].

    The published code takes the nearest pixel instead, which moves every mask by half a pixel and
    loses objects thinner than a cell. An average keeps both, and the Dice term with squares is
    lowest exactly where the probability equals the covered share of a cell.
    """
    if targets.shape[0] == 0:
        return targets.new_zeros((0, rows, columns))
    return functional.interpolate(targets[:, None].float(), (rows, columns), mode="area")[:, 0]


def soft_dice_loss(
    logits: Float[Tensor, "object candidate row column"],
    *,
    targets: Float[Tensor, "object candidate row column"],
    smoothing: float,
    squared: bool,
) -> Float[Tensor, "object candidate"]:
    """Return 1 - Dice of probabilities, in [0, 1].

    Args:
        logits: Before the sigmoid.
        targets: In [0, 1].
        smoothing: Added to numerator and denominator, in pixels. An empty target answered by an
            empty prediction costs 0, and by N certain pixels N / (N + smoothing).
        squared: Square both in the denominator (SAMUS), or not (SAM).
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum(dim=(-2, -1))
    sizes = probabilities.square() + targets.square() if squared else probabilities + targets
    return 1 - (2 * overlap + smoothing) / (sizes.sum(dim=(-2, -1)) + smoothing)


def weighted_cross_entropy(
    logits: Float[Tensor, "object candidate row column"],
    *,
    targets: Float[Tensor, "object candidate row column"],
    positive_weight: float,
) -> Float[Tensor, "object candidate"]:
    """Return the mean over pixels of the cross-entropy, with foreground counted more."""
    pixels = functional.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=logits.new_tensor(positive_weight), reduction="none"
    )
    return pixels.mean(dim=(-2, -1))


def focal_loss(
    logits: Float[Tensor, "object candidate row column"],
    *,
    targets: Float[Tensor, "object candidate row column"],
    alpha: float,
    gamma: float,
) -> Float[Tensor, "object candidate"]:
    """Return the mean over pixels of the focal loss: pixels that are right already count little.

    Args:
        logits: Before the sigmoid.
        targets: In [0, 1]; a share between them blends both classes.
        alpha: Weight of the foreground in [0, 1]; the background weighs the rest.
        gamma: Power of the probability of the wrong class; 0 is plain cross-entropy.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probabilities = logits.sigmoid()
    wrong = probabilities * (1 - targets) + (1 - probabilities) * targets
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return (balance * wrong.pow(gamma) * entropy).mean(dim=(-2, -1))


def intersection_over_union(
    logits: Float[Tensor, "object candidate row column"],
    *,
    targets: Float[Tensor, "object candidate row column"],
) -> Float[Tensor, "object candidate"]:
    """Return the IoU of masks cut at logit 0 and at half a cell; two empty masks score 1.

    It is what the IoU head is to predict, so it has no gradient.
    """
    predicted, drawn = logits.detach() > 0, targets >= 0.5
    shared = (predicted & drawn).sum(dim=(-2, -1)).float()
    either = (predicted | drawn).sum(dim=(-2, -1)).float()
    return torch.where(either > 0, shared / either.clamp(min=1), torch.ones_like(either))


def _mask_terms(
    logits: Float[Tensor, "object candidate row column"],
    *,
    masks: Float[Tensor, "object candidate row column"],
    config: ObjectiveConfig,
) -> dict[str, Float[Tensor, "object candidate"]]:
    dice = soft_dice_loss(
        logits,
        targets=masks,
        smoothing=config.dice_smoothing_pixels,
        squared=config.kind == "dice_bce",
    )
    if config.kind == "dice_bce":
        entropy = weighted_cross_entropy(
            logits, targets=masks, positive_weight=config.positive_weight
        )
        return {"dice": config.dice_weight * dice, "bce": config.bce_weight * entropy}
    focal = focal_loss(logits, targets=masks, alpha=config.focal_alpha, gamma=config.focal_gamma)
    return {"focal": config.focal_weight * focal, "dice": config.focal_dice_weight * dice}


def _iou_error(
    prediction: MaskPrediction,
    *,
    masks: Float[Tensor, "object candidate row column"],
    candidate: Int[Tensor, " object"],
) -> Float[Tensor, " object"]:
    if prediction.predicted_iou is None:
        raise ValueError(
            "objective.kind=focal_dice_iou needs a model that predicts its IoU, and this one does "
            "not. Choose objective.iou_weight=0 or objective.kind=dice_bce."
        )
    measured = intersection_over_union(prediction.low_resolution_logits, targets=masks)
    error = (prediction.predicted_iou.float() - measured).square()
    return _take(error, candidate=candidate)


def _take(
    values: Float[Tensor, "object candidate"], *, candidate: Int[Tensor, " object"]
) -> Float[Tensor, " object"]:
    return values.gather(1, candidate[:, None])[:, 0]
