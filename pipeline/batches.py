"""Training batches: what one forward and backward pass takes.

Axis names used in this file:
    image        one framed image of the micro-batch
    object       one object of one of them, flat over the images
    pass         one further question about the object, with a click in what was wrong
    category     one category of the model's list
    channel, row, column   of the framed images
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from model import Framing, Prompts, PromptSimulationConfig
from shards import Corpus
from shards.sample_stream import (
    MicroBatchSampler,
    SampleStream,
    StreamLoader,
    make_stream_loader,
)
from shards.stream_plan import StreamPlan

from .augmentation.config import AugmentationConfig
from .training_sample import TrainingSample, TrainingTransform

RecordT = TypeVar("RecordT", "TrainingBatch", Prompts)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingBatch:
    """Some images, the objects to be found in them, and the first prompt for each object.

    A batch may hold no object at all; its tensors then have an axis of length 0.
    """

    images: Float[Tensor, "image channel row column"]
    """In [0, 1]."""

    masks: Bool[Tensor, "object row column"]
    image_index: Int[Tensor, " object"]
    """Which image of the batch each object is in."""

    prompts: Prompts
    """One per object, in their order."""

    error_click_draws: Float[Tensor, "object pass"]
    """Numbers in [0, 1) that choose the clicks of later passes (`correction.Corrections`)."""

    category_index: Int[Tensor, " object"]
    """Place in the list of categories; -1 for one that the list does not name."""

    annotated: Bool[Tensor, "image category"]
    """Where the masks are all there is of the category; elsewhere its absence proves nothing."""

    keys: tuple[str, ...]
    """Of the samples, one per image."""

    positions: tuple[int, ...]
    """Of the samples in the stream, one per image."""

    num_vanished_objects: int
    """Objects left out because framing and augmentation made them too small or cut them off."""

    @property
    def num_images(self) -> int:
        """Images in the batch."""
        return self.images.shape[0]

    @property
    def num_objects(self) -> int:
        """Objects in all images together."""
        return self.masks.shape[0]

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Return the same batch in page-locked memory, from where it travels to a GPU faster."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        changed: dict[str, Any] = {"prompts": _map_tensors(self.prompts, change)}
        return dataclasses.replace(_map_tensors(self, change), **changed)


def collate(samples: Sequence[TrainingSample]) -> TrainingBatch:
    """Put samples together, their objects flat and in order."""
    num_objects = torch.tensor([len(sample.masks) for sample in samples])
    image_index = torch.arange(len(samples)).repeat_interleave(num_objects)
    prompts = Prompts(
        image_index=image_index,
        points=torch.cat([sample.points for sample in samples]),
        point_labels=torch.cat([sample.point_labels for sample in samples]),
    )
    return TrainingBatch(
        images=torch.stack([sample.image for sample in samples]),
        masks=torch.cat([sample.masks for sample in samples]),
        image_index=image_index,
        prompts=prompts,
        error_click_draws=torch.cat([sample.error_click_draws for sample in samples]),
        category_index=torch.cat([sample.category_index for sample in samples]),
        annotated=torch.stack([sample.annotated for sample in samples]),
        keys=tuple(sample.key for sample in samples),
        positions=tuple(sample.position for sample in samples),
        num_vanished_objects=sum(sample.num_vanished_objects for sample in samples),
    )


def make_training_loader(  # noqa: PLR0913 -- where data, model and place in the group meet
    *,
    corpora: Sequence[Corpus],
    plan: StreamPlan,
    framing: Framing,
    num_channels: int,
    categories: Sequence[str],
    prompts: PromptSimulationConfig,
    augmentation: AugmentationConfig,
    num_error_clicks: int,
    seed: int,
    max_objects_per_image: int,
    global_batch_size: int,
    micro_batch_size: int,
    rank: int = 0,
    num_ranks: int = 1,
    first_step: int = 0,
    num_workers: int = 0,
    replaces_broken: bool = False,
) -> StreamLoader[TrainingBatch]:
    """Return the endless training batches of one rank.

    Args:
        corpora: In the order of the plan's sources.
        plan: Which sample comes at which position.
        framing: The model's.
        num_channels: Of the images, 1 or 3, as the model wants them.
        categories: The model's list; empty for a model that is only asked by prompts.
        prompts: How first prompts are drawn.
        augmentation: How images are changed.
        num_error_clicks: Numbers to draw per object for the clicks of later passes.
        seed: Of augmentation, prompts and the choice of objects.
        max_objects_per_image: More objects than this are thinned out by a seeded choice.
        global_batch_size: Images of one optimizer step over all ranks.
        micro_batch_size: Images of one batch.
        rank: This process.
        num_ranks: Processes that train together.
        first_step: Optimizer steps already taken, from which to go on.
        num_workers: Processes that prepare batches; 0 does it in this one.
        replaces_broken: Whether another sample stands in for a damaged one.
    """
    if max_objects_per_image < 1:
        raise ValueError(
            f"data.max_objects_per_image is {max_objects_per_image}; it must be at least 1."
        )
    transform = TrainingTransform(
        framing=framing,
        num_channels=num_channels,
        categories=tuple(categories),
        annotated_categories=annotated_categories(corpora),
        prompts=prompts,
        augmentation=augmentation,
        seed=seed,
        max_objects_per_image=max_objects_per_image,
        num_error_clicks=num_error_clicks,
    )
    sampler = MicroBatchSampler(
        global_batch_size=global_batch_size,
        micro_batch_size=micro_batch_size,
        rank=rank,
        num_ranks=num_ranks,
        first_step=first_step,
    )
    stream = SampleStream(corpora, plan, transform=transform, replaces_broken=replaces_broken)
    return make_stream_loader(stream, sampler, num_workers=num_workers, collate=collate)


def annotated_categories(corpora: Sequence[Corpus]) -> Mapping[str, frozenset[str]]:
    """Return, for every source by name, the categories whose absence is known.

    Where two corpora hold the same source with different lists, only what both name counts: taking
    what was not annotated for absent teaches a model to overlook it.
    """
    found: dict[str, frozenset[str]] = {}
    for corpus in corpora:
        for source in corpus.manifest.sources:
            categories = frozenset(source.categories)
            found[source.name] = found.get(source.name, categories) & categories
    return found


def _map_tensors(record: RecordT, change: Callable[[Tensor], Tensor]) -> RecordT:
    """Return a copy of a dataclass with every tensor field changed."""
    tensors: dict[str, Any] = {
        field.name: change(value)
        for field in dataclasses.fields(record)
        if isinstance(value := getattr(record, field.name), Tensor)
    }
    return dataclasses.replace(record, **tensors)
