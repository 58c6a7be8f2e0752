"""A teacher: a trained model that a smaller one learns to see and to answer like.

It is no module of the training step: engines would wrap, part and save its weights. It is frozen,
in evaluation mode, and in no checkpoint.

Axis names used in this file:
    image, channel    of the framed batch and of its embedding
    answer            one prompt, or one category of an image
    candidate, row, column
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from model import (
    ImageFeatures,
    MaskPrediction,
    Prompts,
    SamArchitecture,
    Segmenter,
    find_checkpoint,
    load_segmenter,
)

from .distillation_config import DistillationConfig

_logger = logging.getLogger(__name__)

_SHARED_PARTS = (
    *("prompt_encoder.", "mask_decoder."),
    *("prompt_generator.", "dense_adapter.", "presence_head."),
)


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """What is learnt from, and how much it weighs."""

    segmenter: Segmenter
    config: DistillationConfig

    def look(self, images: Float[Tensor, "image channel row column"]) -> ImageFeatures:
        """Return the teacher's features of a batch."""
        with torch.no_grad():
            return self.segmenter.to(images.device).encode(images)

    def feature_loss(
        self, features: ImageFeatures, *, taught: ImageFeatures
    ) -> Float[Tensor, " image"]:
        """Return the weighted distance of each image's embedding from the teacher's."""
        distance = features.embedding.float() - taught.embedding.float()
        return self.config.feature_weight * distance.square().mean(dim=(1, 2, 3))

    def mask_loss(
        self, prediction: MaskPrediction, prompts: Prompts | None, *, taught: ImageFeatures
    ) -> Float[Tensor, " answer"]:
        """Return the weighted cross-entropy of each answer with the teacher's to the same prompt.

        Of several candidates each counts alike. Where both judge presence, the judgements are
        compared as well, and masks where the teacher sees the category: of one that it calls
        absent it shows none (`AutosamusSegmenter.decode`).
        """
        with torch.no_grad():
            multimask = None if prompts is None else False
            told = self.segmenter.decode(taught, prompts, multimask)
        answer = told.low_resolution_logits
        logits = prediction.low_resolution_logits.float()
        if answer.shape[0] and answer.shape[-2:] != logits.shape[-2:]:
            answer = functional.interpolate(answer.float(), logits.shape[-2:], mode="bilinear")
        probability = answer[:, :1].float().sigmoid().expand_as(logits)
        entropy = functional.binary_cross_entropy_with_logits(logits, probability, reduction="none")
        loss = entropy.mean(dim=(1, 2, 3))
        if told.presence_logits is not None and prediction.presence_logits is not None:
            judged, presence = told.presence_logits.float(), prediction.presence_logits.float()
            loss = loss * (judged > 0) + functional.binary_cross_entropy_with_logits(
                presence, judged.sigmoid(), reduction="none"
            )
        return self.config.mask_weight * loss


def open_teacher(config: DistillationConfig, *, student: Segmenter) -> Teacher | None:
    """Open the teacher of a run, if it has one.

    Raises:
        FileNotFoundError: There is no such run or checkpoint.
        ValueError: The two do not take the same images, answer otherwise, or see otherwise.
    """
    if config.teacher is None:
        return None
    teacher = load_segmenter(find_checkpoint(Path(config.teacher)))
    refuse_unfit_teacher(teacher, student=student, config=config)
    teacher.eval().requires_grad_(False)
    return Teacher(segmenter=teacher, config=config)


def refuse_unfit_teacher(
    teacher: Segmenter, *, student: Segmenter, config: DistillationConfig
) -> None:
    """Refuse a teacher of whom the student cannot learn what it shall.

    Raises:
        ValueError: The two do not take the same images, answer otherwise, or see otherwise.
    """
    name = f"distillation.teacher={config.teacher} is a {teacher.kind}, the model a {student.kind}"
    if teacher.framing != student.framing:
        raise ValueError(
            f"{name}: one takes images as {teacher.framing}, the other as {student.framing}. Set "
            "model.overrides so that both take the same."
        )
    asked = (teacher.is_automatic, teacher.prompt_kinds, teacher.categories)
    if config.mask_weight and asked != (
        student.is_automatic,
        student.prompt_kinds,
        student.categories,
    ):
        raise ValueError(
            f"{name}: they are not asked alike (prompts, or categories), so the masks of one say "
            "nothing to the other. Set distillation.mask_weight=0 to learn from features alone."
        )
    found, expected = _embedding_of(student), _embedding_of(teacher)
    if config.feature_weight and (found is None or found != expected):
        raise ValueError(
            f"{name}: embeddings (channels, side) are {expected} and {found}. Set model.overrides "
            "so that they agree, or distillation.feature_weight=0 to learn from masks alone."
        )


def start_from_teacher(student: Segmenter, teacher: Teacher) -> None:
    """Copy what comes behind the teacher's encoder, tensors of the same measures alone."""
    own = student.state_dict()
    shared = {
        name: tensor
        for name, tensor in teacher.segmenter.state_dict().items()
        if name.startswith(_SHARED_PARTS) and name in own and own[name].shape == tensor.shape
    }
    student.load_state_dict(shared, strict=False)
    _logger.info("%d tensors behind the encoder start as the teacher's.", len(shared))


def _embedding_of(segmenter: Segmenter) -> tuple[int, int] | None:
    """Return the channels and the side of an image's embedding; None for one unlike SAM's."""
    architecture = segmenter.architecture
    if not isinstance(architecture, SamArchitecture):
        return None
    return architecture.embedding_width, architecture.grid_size
