"""What a training step holds in memory, counted on a real step of one and two images."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from model import ObjectiveConfig, Prompts, build_segmenter, freeze

from .batches import TrainingBatch
from .config import PretrainConfig
from .doctor_config import DoctorConfig
from .train_step import TrainingStep

BYTES_PER_FLOAT = 4
ADAM_MOMENTS = 2


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes that one process holds while it trains; fragmentation and libraries come on top."""

    weights: int
    gradients: int
    optimizer: int

    activations: int
    """What the forward pass keeps for the backward pass."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations


def build_dry_step(config: DoctorConfig) -> TrainingStep:
    """Return a training step with random weights, frozen as the run would be."""
    segmenter = build_segmenter(config.preset)
    freeze(segmenter, has_base=config.has_base)
    return TrainingStep(
        segmenter,
        objective=ObjectiveConfig(),
        global_batch_size=config.micro_batch_size,
        num_ranks=1,
        precision=config.precision,
    )


def estimate_memory(step: TrainingStep, *, config: DoctorConfig) -> MemoryEstimate:
    """Count weights, gradients and moments, and what forward passes keep for the backward pass.

    Activations grow evenly with images and with objects, so three small forward passes give the
    share of an image, of an object, and what neither changes.
    """
    parameters = list(step.parameters())
    trainable = sum(weight.numel() for weight in parameters if weight.requires_grad)
    base = kept_bytes(step, num_images=1, num_objects=1)
    per_object = kept_bytes(step, num_images=1, num_objects=2) - base
    per_image = kept_bytes(step, num_images=2, num_objects=2) - base - per_object
    num_images = config.micro_batch_size
    num_objects = num_images * config.objects_per_image
    return MemoryEstimate(
        weights=sum(weight.numel() for weight in parameters) * BYTES_PER_FLOAT,
        gradients=trainable * BYTES_PER_FLOAT,
        optimizer=trainable * BYTES_PER_FLOAT * ADAM_MOMENTS,
        activations=base + per_image * (num_images - 1) + per_object * (num_objects - 1),
    )


def time_dry_step(step: TrainingStep, *, config: DoctorConfig) -> float:
    """Return the seconds of one forward and backward pass of a micro-batch of random images.

    Raises:
        RuntimeError: A trainable parameter got no gradient, or the loss is not finite.
    """
    num_images = config.micro_batch_size
    batch = random_batch(
        step, num_images=num_images, num_objects=num_images * config.objects_per_image
    )
    started = time.perf_counter()
    terms = step(batch)
    terms.total.backward()
    seconds = time.perf_counter() - started
    if not torch.isfinite(terms.total):
        raise RuntimeError(f"The dry step's loss is {terms.total.item()}; expected a finite one.")
    idle = [
        name
        for name, weight in step.named_parameters()
        if weight.requires_grad and weight.grad is None
    ]
    if idle:
        raise RuntimeError(f"{len(idle)} trainable parameters got no gradient, such as {idle[0]}.")
    step.zero_grad(set_to_none=True)
    return seconds


def random_batch(step: TrainingStep, *, num_images: int, num_objects: int) -> TrainingBatch:
    """Return images of noise, each object a square with a click in it; the same at every call."""
    generator = torch.Generator().manual_seed(0)
    side = step.segmenter.framing.input_size
    image_index = torch.arange(num_objects) % num_images
    masks = torch.zeros((num_objects, side, side), dtype=torch.bool)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = True
    centre = torch.full((num_objects, 1, 2), side * 3 / 8)
    num_categories = len(step.segmenter.categories)
    takes_masks = "masks" in step.segmenter.prompt_kinds
    num_error_clicks = PretrainConfig.num_error_clicks if takes_masks else 0
    return TrainingBatch(
        images=torch.rand((num_images, 1, side, side), generator=generator),
        masks=masks,
        image_index=image_index,
        prompts=Prompts(
            image_index=image_index,
            points=centre,
            point_labels=torch.ones((num_objects, 1), dtype=torch.long),
        ),
        error_click_draws=torch.zeros((num_objects, num_error_clicks)),
        category_index=torch.zeros(num_objects, dtype=torch.long),
        annotated=torch.ones((num_images, num_categories), dtype=torch.bool),
        keys=tuple(f"noise__{index}" for index in range(num_images)),
        positions=tuple(range(num_images)),
        num_vanished_objects=0,
    )


def kept_bytes(step: TrainingStep, *, num_images: int, num_objects: int) -> int:
    """Return the bytes that one forward pass of random images keeps for the backward pass."""
    batch = random_batch(step, num_images=num_images, num_objects=num_objects)
    with _counting_kept_bytes(step) as count:
        step(batch)
    return count[0]


@contextmanager
def _counting_kept_bytes(step: TrainingStep) -> Iterator[list[int]]:
    """Count the storage that autograd keeps, each once, the weights themselves left out."""
    seen = {weight.untyped_storage().data_ptr() for weight in step.parameters()}
    count = [0]

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            count[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield count
