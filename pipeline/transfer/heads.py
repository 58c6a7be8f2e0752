"""An encoder with a light head: a classifier, or a decoder for semantic segmentation.

Axis names used in this file:
    image                  of a batch
    channel, row, column   of a framed image, or of a decoder's grid
    feature                of the encoder's stages, averaged over the image
    category               what a decoder tells apart
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from model import FeatureExtractor, MaskPrediction, ObjectiveConfig, object_losses

from .data import TransferBatch

DECODER_CHANNELS = 64

FINEST_STRIDE = 4
"""Stages with smaller cells are averaged down to it: a light decoder draws no finer."""


class Classifier(nn.Module):
    """A linear layer on the encoder's stages, each averaged over the image and standardised.

    It starts as a linear probe of the encoder as it came, so that training goes on from there
    instead of first undoing the encoder (Kumar et al. 2022, arXiv 2202.10054, "LP-FT").
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, encoder: FeatureExtractor, num_outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        num_features = sum(encoder.feature_info.channels())
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.head = nn.Linear(num_features, num_outputs)

    def start_from(
        self,
        *,
        mean: Float[np.ndarray, " feature"],
        deviation: Float[np.ndarray, " feature"],
        weight: Float[np.ndarray, "class feature"],
        bias: Float[np.ndarray, " class"],
    ) -> None:
        """Take over a probe: what standardises the features, and its linear layer."""
        given = {"mean": mean, "deviation": deviation, "head.weight": weight, "head.bias": bias}
        tensors = {name: torch.from_numpy(value).float() for name, value in given.items()}
        encoder = {f"encoder.{name}": one for name, one in self.encoder.state_dict().items()}
        self.load_state_dict(encoder | tensors)

    def forward(self, images: Tensor) -> Float[Tensor, "image class"]:
        """Return the logits of every class."""
        features = pooled_features(self.encoder, images)
        return self.head((features - self.mean) / self.deviation)

    def loss(self, batch: TransferBatch) -> Tensor:
        """Return the mean cross-entropy."""
        return functional.cross_entropy(self(batch.images), batch.labels)


class LightDecoder(nn.Module):
    """Stages projected to few channels, summed on the finest grid, and two convolutions.

    As the lateral half of a feature pyramid (Lin et al. 2017, section 3), without its top-down
    convolutions: small, so that what it reaches is the encoder's merit.
    """

    def __init__(self, encoder: FeatureExtractor, num_outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        info = encoder.feature_info
        self._stride = max(FINEST_STRIDE, min(info.reduction()))
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels, DECODER_CHANNELS, 1) for channels in info.channels()
        )
        self.head = nn.Sequential(
            nn.GroupNorm(1, DECODER_CHANNELS),
            nn.GELU(),
            nn.Conv2d(DECODER_CHANNELS, DECODER_CHANNELS, 3, padding=1),
            nn.GroupNorm(8, DECODER_CHANNELS),
            nn.GELU(),
            nn.Conv2d(DECODER_CHANNELS, num_outputs, 1),
        )

    def forward(self, images: Tensor) -> Float[Tensor, "image category row column"]:
        """Return a logit for every category and cell of the finest grid."""
        side = images.shape[-1] // self._stride
        stages = zip(self.lateral, self.encoder(images), strict=True)
        return self.head(sum(_resized(project(stage), side=side) for project, stage in stages))

    def loss(self, batch: TransferBatch) -> Tensor:
        """Return the mean of Dice and cross-entropy over what the images' sources annotate."""
        logits = self(batch.images)[batch.annotated]
        if not len(logits):
            return self(batch.images).sum() * 0
        prediction = MaskPrediction(low_resolution_logits=logits[:, None])
        targets = batch.masks[batch.annotated].float()
        losses = object_losses(prediction, targets=targets, config=ObjectiveConfig())
        return losses["total"].mean()


def pooled_features(encoder: FeatureExtractor, images: Tensor) -> Float[Tensor, "image feature"]:
    """Return the mean over the image of every channel of every stage."""
    return torch.cat([stage.mean(dim=(-2, -1)) for stage in encoder(images)], dim=1)


def train_head(
    module: Classifier | LightDecoder,
    batches: Iterable[TransferBatch],
    *,
    num_steps: int,
    head_rate: float,
    encoder_rate: float | None,
) -> None:
    """Train head and encoder by AdamW, with a cosine from the peak rates to nothing.

    Args:
        module: Left in evaluation mode.
        batches: As many as steps.
        num_steps: Where the cosine ends.
        head_rate: Peak learning rate of all but the encoder.
        encoder_rate: Peak learning rate of the encoder; None leaves it as it is.
    """
    module.train()
    module.encoder.requires_grad_(encoder_rate is not None)
    module.encoder.train(encoder_rate is not None)
    of_encoder = {id(one) for one in module.encoder.parameters()}
    head = [one for one in module.parameters() if id(one) not in of_encoder]
    groups = [{"params": head, "lr": head_rate}]
    if encoder_rate is not None:
        groups.append({"params": list(module.encoder.parameters()), "lr": encoder_rate})
    optimizer = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / num_steps))
    )
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = module.loss(batch)
        if not torch.isfinite(loss):
            raise ValueError(
                "The loss of a transfer is not finite. Lower peak_learning_rate and "
                "encoder_learning_rate, or look at the encoder's weights."
            )
        loss.backward()
        optimizer.step()
        schedule.step()
    module.eval()


def _resized(stage: Tensor, *, side: int) -> Tensor:
    if stage.shape[-1] > side:
        return functional.adaptive_avg_pool2d(stage, side)
    return functional.interpolate(stage, (side, side), mode="bilinear", align_corners=False)
