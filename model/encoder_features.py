"""The image encoder alone, with the features of all its stages, for heads of other people.

The interface is what `timm` calls `features_only`: a list of feature maps, and `feature_info` that
tells channels and strides before the first image is seen.

Axis names used in this file:
    image, channel, row, column    of the framed batch, or of a stage's own grid
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from .config import SamArchitecture
from .encoder_input import as_encoder_input
from .image_encoder import EncoderOutput, ImageEncoder
from .sam import SamSegmenter
from .segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class FeatureStage:
    """One of the feature maps."""

    name: str
    """`branch.N` for a stage of a branch, `blocks.N` for tokens after a block, `embedding`."""

    channels: int
    stride: int
    """Pixels of the framed image that a cell covers in each direction."""


class FeatureInfo:
    """What the feature maps are, in the words of `timm`."""

    def __init__(self, stages: Sequence[FeatureStage]) -> None:
        self.stages = tuple(stages)

    def channels(self) -> list[int]:
        """Return the channels of every map."""
        return [stage.channels for stage in self.stages]

    def reduction(self) -> list[int]:
        """Return the stride of every map."""
        return [stage.stride for stage in self.stages]

    def module_name(self) -> list[str]:
        """Return where in the encoder every map is from."""
        return [stage.name for stage in self.stages]


class FeatureExtractor(nn.Module):
    """An image encoder that returns the features of its stages, finest branch stages first."""

    def __init__(
        self,
        encoder: ImageEncoder,
        *,
        architecture: SamArchitecture,
        out_indices: Sequence[int] | None = None,
    ) -> None:
        """Take over an encoder.

        Args:
            encoder: Kept, not copied; it now taps its global blocks.
            architecture: Which it was built to.
            out_indices: Which stages to return, by index in order of computation; all by default.
        """
        super().__init__()
        self.architecture = architecture
        self.image_encoder = encoder
        encoder.tapped_blocks = tuple(sorted(architecture.global_blocks))
        stages = _describe_stages(encoder, architecture=architecture)
        self.out_indices = tuple(range(len(stages)) if out_indices is None else out_indices)
        if not self.out_indices or not set(self.out_indices) <= set(range(len(stages))):
            names = ", ".join(f"{index} {stage.name}" for index, stage in enumerate(stages))
            raise ValueError(f"out_indices is {self.out_indices}; the stages are {names}.")
        self.feature_info = FeatureInfo([stages[index] for index in self.out_indices])

    def forward(
        self, images: Shaped[Tensor, "image channel row column"]
    ) -> list[Float[Tensor, "image _ _ _"]]:
        """Return the feature maps of framed images in [0, 1]."""
        encoded = self.image_encoder(as_encoder_input(images, architecture=self.architecture))
        maps = _maps_of(encoded)
        return [maps[index] for index in self.out_indices]


def feature_extractor(
    segmenter: Segmenter, *, out_indices: Sequence[int] | None = None
) -> FeatureExtractor:
    """Return a copy of a segmenter's encoder, weights included, that answers with features.

    Args:
        segmenter: One with SAM's encoder; it stays as it is.
        out_indices: Which stages to return; all by default.
    """
    if not isinstance(segmenter, SamSegmenter):
        raise ValueError(
            f"A {segmenter.kind} has no image encoder of SAM's kind to take features of. Give a "
            "relative of SAM."
        )
    encoder = copy.deepcopy(segmenter.image_encoder)
    return FeatureExtractor(encoder, architecture=segmenter.architecture, out_indices=out_indices)


def _maps_of(encoded: EncoderOutput) -> list[Tensor]:
    tokens = [tap.permute(0, 3, 1, 2) for tap in encoded.taps]
    return [*encoded.branch_stages, *tokens, encoded.embedding]


def _describe_stages(encoder: ImageEncoder, *, architecture: SamArchitecture) -> list[FeatureStage]:
    """Return what the maps will be, found without computing them."""
    image = torch.zeros(1, 3, architecture.input_size, architecture.input_size, device="meta")
    tensors = {**dict(encoder.named_parameters()), **dict(encoder.named_buffers())}
    shapes_alone = {name: tensor.to("meta") for name, tensor in tensors.items()}
    # With gradients nothing that is kept from earlier images is looked at.
    with torch.enable_grad():
        encoded = torch.func.functional_call(encoder, shapes_alone, (image,))
    names = [
        *(f"branch.{index}" for index in range(len(encoded.branch_stages))),
        *(f"blocks.{index}" for index in encoder.tapped_blocks),
        "embedding",
    ]
    return [
        FeatureStage(
            name=name,
            channels=features.shape[1],
            stride=architecture.input_size // features.shape[-1],
        )
        for name, features in zip(names, _maps_of(encoded), strict=True)
    ]
