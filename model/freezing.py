"""Which weights train: decided by the type of a module, never by its name."""

import logging
from dataclasses import dataclass

from .mask_decoder import MaskDecoder
from .segmenter import Segmenter

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FreezingReport:
    """What trains and what does not."""

    num_parameters: int
    num_trainable: int
    num_unused: int
    """Weights that published recipes count as trained, but that no gradient ever reaches."""

    frozen_kinds: tuple[str, ...]
    """Types of the modules that hold frozen weights."""


def freeze(
    segmenter: Segmenter,
    *,
    has_base: bool,
    uses_predicted_iou: bool = False,
    uses_candidates: bool = False,
) -> FreezingReport:
    """Set which weights take gradients, and say so in the log.

    Args:
        segmenter: Changed in place.
        has_base: Whether pretrained weights were loaded. With them the segmenter says what trains
            (`trains_with_base`: SAMUS its branch, adapters and the relative positions of global
            blocks); without them everything does, but for what never trains.
        uses_predicted_iou: Whether the objective looks at the predicted IoU; else its head stays
            as it is, because no gradient ever reaches it. So do the heads of masks that nothing
            asks for.
        uses_candidates: Whether training asks for several candidates beside what the segmenter
            answers by itself (`Segmenter.habitual_masks`).
    """
    for parameter in segmenter.parameters():
        parameter.requires_grad_(not has_base)
    for module in segmenter.modules():
        if has_base and segmenter.trains_with_base(module):
            module.requires_grad_(True)
    for module in segmenter.modules():
        if segmenter.never_trains(module):
            module.requires_grad_(False)
    num_wanted = _count_trainable(segmenter)
    for module in segmenter.modules():
        if isinstance(module, MaskDecoder):
            candidates = range(1, module.num_mask_tokens) if uses_candidates else ()
            _leave_out_unused(
                module,
                uses_predicted_iou=uses_predicted_iou,
                masks={*segmenter.habitual_masks, *candidates},
            )
    report = _report(segmenter, num_wanted=num_wanted)
    _logger.info(
        "%s: %s of %s parameters train%s",
        "Pretrained base" if has_base else "No pretrained base, so everything in use trains",
        f"{report.num_trainable:,}",
        f"{report.num_parameters:,}",
        f"; frozen: {', '.join(report.frozen_kinds)}" if report.frozen_kinds else "",
    )
    return report


def _leave_out_unused(decoder: MaskDecoder, *, uses_predicted_iou: bool, masks: set[int]) -> None:
    decoder.iou_prediction_head.requires_grad_(uses_predicted_iou)
    for index, readout in enumerate(decoder.output_hypernetworks_mlps):
        if index not in masks:
            readout.requires_grad_(False)


def _count_trainable(segmenter: Segmenter) -> int:
    return sum(weight.numel() for weight in segmenter.parameters() if weight.requires_grad)


def _report(segmenter: Segmenter, *, num_wanted: int) -> FreezingReport:
    frozen = {
        type(module).__name__
        for module in segmenter.modules()
        if any(not weight.requires_grad for weight in module.parameters(recurse=False))
    }
    num_trainable = _count_trainable(segmenter)
    return FreezingReport(
        num_parameters=sum(weight.numel() for weight in segmenter.parameters()),
        num_trainable=num_trainable,
        num_unused=max(num_wanted - num_trainable, 0),
        frozen_kinds=tuple(sorted(frozen)),
    )
