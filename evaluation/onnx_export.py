"""A segmenter as ONNX graphs: one that encodes images, one that answers prompts.

Images, prompts and points per prompt stay dynamic. Normalisation is inside the encoder, and so is
every constant of evaluation mode: position adapters and window tables are folded.
"""

import copy
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model import ImageFeatures, Prompts, Segmenter

OPSET = 18
"""Version of the ONNX operator set: the oldest that torch's exporter writes unchanged."""

SINGLE_FILE_LIMIT_BYTES = 1_800_000_000
"""Above this, weights go to a file beside the graph: a protobuf file holds 2 GiB at most."""

NUM_IMAGE_CHANNELS = 3
"""Grey images are repeated before they reach the graph, which is the same to every segmenter."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExportedGraphs:
    """Names of the files that were written."""

    encoder: str
    decoder: str


class EncoderGraph(nn.Module):
    """`encode` with tensors out: the embedding, then the side features by name."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the features in the order of `feature_names`."""
        features = self.segmenter.encode(images)
        return features.embedding, *(features.side[name] for name in sorted(features.side))


class DecoderGraph(nn.Module):
    """`decode` with tensors in and out, for prompts of clicks and box corners."""

    def __init__(self, segmenter: Segmenter, *, side_names: Sequence[str]) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.side_names = tuple(side_names)

    def forward(
        self,
        features: tuple[Tensor, ...],
        image_index: Tensor,
        points: Tensor,
        point_labels: Tensor,
    ) -> Tensor:
        """Return one map of logits (prompt row column), at the decoder's resolution."""
        embedding, *side = features
        prediction = self.segmenter.decode(
            ImageFeatures(embedding=embedding, side=dict(zip(self.side_names, side, strict=True))),
            Prompts(image_index=image_index, points=points, point_labels=point_labels),
        )
        return prediction.low_resolution_logits[:, 0]


def export_graphs(segmenter: Segmenter, folder: Path) -> ExportedGraphs:
    """Write `encoder.onnx` and `decoder.onnx` of a prompted segmenter.

    The segmenter itself stays as it is: a float32 copy on the CPU, in evaluation mode, is traced.
    """
    if segmenter.is_automatic:
        raise ValueError(
            f"{type(segmenter).__name__} answers by category without prompts; only models that "
            "take prompts are exported. Give the checkpoint of one."
        )
    traced = copy.deepcopy(segmenter).to("cpu", torch.float32).eval().requires_grad_(False)
    side = traced.framing.input_size
    images = torch.rand(2, NUM_IMAGE_CHANNELS, side, side, generator=torch.manual_seed(0))
    with torch.no_grad():
        features = traced.encode(images)
    side_names = sorted(features.side)
    # Prefixed, because the exporter lets an input share its name with an inner value.
    names = [f"feature_{name}" for name in ("embedding", *side_names)]
    image, prompt, point = (torch.export.Dim(name) for name in ("image", "prompt", "point"))
    _export(
        EncoderGraph(traced),
        (images,),
        folder / "encoder.onnx",
        input_names=["images"],
        output_names=names,
        dynamic_shapes=({0: image},),
    )
    tensors = (features.embedding, *(features.side[name] for name in side_names))
    _export(
        DecoderGraph(traced, side_names=side_names),
        (tensors, *_example_prompts(side)),
        folder / "decoder.onnx",
        input_names=[*names, "image_index", "points", "point_labels"],
        output_names=["logits"],
        dynamic_shapes=(
            tuple({0: image} for _ in names),
            {0: prompt},
            {0: prompt, 1: point},
            {0: prompt, 1: point},
        ),
    )
    return ExportedGraphs(encoder="encoder.onnx", decoder="decoder.onnx")


def _example_prompts(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return prompts whose sizes differ from one another, so that no axis is taken for another."""
    labels = torch.tensor([[1, 0, -1, -1, -1], [2, 3, 1, -1, -1], [1, -1, -1, -1, -1]])
    points = torch.linspace(0, side - 1, labels.numel() * 2).reshape(*labels.shape, 2)
    return torch.tensor([0, 1, 1]), points, labels


def _export(
    module: nn.Module,
    arguments: tuple[Any, ...],
    path: Path,
    *,
    input_names: list[str],
    output_names: list[str],
    dynamic_shapes: tuple[Any, ...],
) -> None:
    num_bytes = sum(weight.numel() * weight.element_size() for weight in module.parameters())
    for name in ("onnx_ir", "onnxscript", "torch.onnx"):  # dozens of lines a graph
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # The exporter warns about its own use of torch, which nobody here can change.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            arguments,
            path,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=num_bytes > SINGLE_FILE_LIMIT_BYTES,
            verbose=False,
        )
    _logger.info("%s: %.1f MB", path.name, path.stat().st_size / 1e6)
