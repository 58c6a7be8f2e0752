"""A segmenter as ONNX graphs.

A prompted one becomes two graphs: one that encodes images, and one that answers prompts. One
without prompts becomes a single graph, from images to the masks of its categories. Images, prompts
and points per prompt stay dynamic. Normalisation is inside, and so is every constant of evaluation
mode: position adapters and window tables are folded. Heads that no output needs
(predicted IoU) are not in the graphs.
"""

import copy
import logging
import math
import warnings
from collections.abc import Sequence
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
    """`decode` with tensors in and out: for clicks, box corners and, if taken, earlier masks."""

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
        mask_logits: Tensor | None = None,
        has_mask: Tensor | None = None,
    ) -> Tensor:
        """Return one map of logits (prompt row column), at the decoder's resolution."""
        embedding, *side = features
        prediction = self.segmenter.decode(
            ImageFeatures(embedding=embedding, side=dict(zip(self.side_names, side, strict=True))),
            Prompts(
                image_index=image_index,
                points=points,
                point_labels=point_labels,
                mask_logits=mask_logits,
                has_mask=has_mask,
            ),
        )
        return prediction.low_resolution_logits[:, 0]


class AutomaticGraph(nn.Module):
    """A model without prompts, with tensors out.

    They are logits (image category row column) at the model's resolution, a label map (image row
    column; 0 for nothing, else 1 + the place of the category with the highest logit above 0) and a
    presence logit (image category). A model that does not judge presence is taken to be as sure of
    a category as of the pixel where it is surest.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, label map and presence logits."""
        prediction = self.segmenter(images).best_candidate()
        shape = (-1, len(self.segmenter.categories))
        logits = prediction.low_resolution_logits[:, 0].unflatten(0, shape)
        highest, category = logits.max(dim=1)
        labels = torch.where(highest > 0, category + 1, 0).to(torch.uint8)
        presence = prediction.presence_logits
        if presence is None:
            return logits, labels, logits.amax(dim=(-2, -1))
        return logits, labels, presence.unflatten(0, shape)


def export_graphs(segmenter: Segmenter, folder: Path) -> dict[str, str]:
    """Write a segmenter's graphs in float32 and return their file names by what they do.

    The segmenter itself stays as it is: a float32 copy on the CPU, in evaluation mode, is traced.
    """
    traced = copy.deepcopy(segmenter).to("cpu", torch.float32).eval().requires_grad_(False)
    side = traced.framing.input_size
    images = torch.rand(2, NUM_IMAGE_CHANNELS, side, side, generator=torch.manual_seed(0))
    if traced.is_automatic:
        _export(
            AutomaticGraph(traced),
            (images,),
            folder / "automatic.onnx",
            input_names=["images"],
            output_names=["logits", "label_map", "presence"],
            dynamic_shapes=({0: torch.export.Dim("image")},),
        )
        return {"automatic": "automatic.onnx"}
    _export_prompted(traced, folder, images=images)
    return {"encoder": "encoder.onnx", "decoder": "decoder.onnx"}


def _export_prompted(traced: Segmenter, folder: Path, *, images: Tensor) -> None:
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
    questions = _example_prompts(traced)
    dynamic = {
        "image_index": {0: prompt},
        "points": {0: prompt, 1: point},
        "point_labels": {0: prompt, 1: point},
        "mask_logits": {0: prompt},
        "has_mask": {0: prompt},
    }
    _export(
        DecoderGraph(traced, side_names=side_names),
        (tensors, *questions.values()),
        folder / "decoder.onnx",
        input_names=[*names, *questions],
        output_names=["logits"],
        dynamic_shapes=(tuple({0: image} for _ in names), *(dynamic[name] for name in questions)),
    )


def _example_prompts(segmenter: Segmenter) -> dict[str, Tensor]:
    """Return prompts whose sizes differ from one another, so that no axis is taken for another.

    They are of kinds that the segmenter takes; the graph is the same for all of them.
    """
    side, kinds = segmenter.framing.input_size, segmenter.prompt_kinds
    labels = torch.tensor([[1, 0, -1, -1, -1], [2, 3, 1, -1, -1], [1, -1, -1, -1, -1]])
    if "boxes" not in kinds:
        labels = labels.clamp(max=1)
    if "points" not in kinds:
        labels = torch.tensor([[2, 3, -1, -1, -1]]).expand(3, -1).contiguous()
    points = torch.linspace(0, side - 1, labels.numel() * 2).reshape(*labels.shape, 2)
    questions = {"image_index": torch.tensor([0, 1, 1]), "points": points, "point_labels": labels}
    if "masks" in kinds:
        shape = (len(labels), 1, segmenter.mask_size, segmenter.mask_size)
        questions |= {
            "mask_logits": torch.linspace(-4, 4, math.prod(shape)).reshape(shape),
            "has_mask": torch.tensor([False, True, True]),
        }
    return questions


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
        logging.getLogger(name).setLevel(logging.ERROR)
    module.eval()
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter warns about its own use of torch, which nobody here can change.
        warnings.simplefilter("ignore")
        module(*arguments)  # keeps what depends on weights alone, which so becomes a constant
        torch.onnx.export(
            module,
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
