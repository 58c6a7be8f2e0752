"""Micro-batches made by hand, and a segmenter of two blocks to take them."""

import dataclasses

import torch

from model import Prompts, Segmenter, build_segmenter, freeze
from pipeline.batches import TrainingBatch

SIDE = 32
NUM_IMAGES = 4


def nano_segmenter(*, has_base: bool = False) -> Segmenter:
    """Return a segmenter with the same random weights each time."""
    torch.manual_seed(0)
    segmenter = build_segmenter("samus_tiny", input_size=SIDE, depth=2, global_blocks=(1,))
    freeze(segmenter, has_base=has_base)
    return segmenter


def make_batch(objects_per_image: list[int], *, num_passes: int = 2) -> TrainingBatch:
    """Noise with squares, told apart by the number of the image, so that any cut is the same."""
    images, masks, index, points, labels, draws = [], [], [], [], [], []
    for place, count in enumerate(objects_per_image):
        generator = torch.Generator().manual_seed(place)
        images.append(torch.rand(1, SIDE, SIDE, generator=generator))
        for number in range(count):
            mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
            corner = 3 + 7 * number + place
            mask[corner : corner + 6, corner : corner + 9] = True
            masks.append(mask)
            index.append(place)
            points.append([[corner + 2.5, corner + 3.5], [0.0, 0.0], [0.0, 0.0]])
            labels.append([1, -1, -1])
            draws.append(torch.rand(num_passes - 1, generator=generator))
    count = len(masks)
    image_index = torch.tensor(index, dtype=torch.long)
    return TrainingBatch(
        images=torch.stack(images),
        masks=torch.stack(masks) if masks else torch.zeros(0, SIDE, SIDE, dtype=torch.bool),
        image_index=image_index,
        prompts=Prompts(
            image_index=image_index,
            points=torch.tensor(points).reshape(count, 3, 2),
            point_labels=torch.tensor(labels, dtype=torch.long).reshape(count, 3),
        ),
        error_click_draws=torch.stack(draws) if draws else torch.zeros(0, num_passes - 1),
        category_index=torch.arange(count) % 2,
        annotated=torch.ones(len(objects_per_image), 2, dtype=torch.bool),
        keys=tuple(f"key-{place}" for place in range(len(objects_per_image))),
        positions=tuple(range(len(objects_per_image))),
        num_vanished_objects=0,
    )


def cut_in_two(batch: TrainingBatch) -> list[TrainingBatch]:
    """Return two micro-batches of the same images, objects and prompts."""
    half = batch.num_images // 2
    return [images_of(batch, range(half)), images_of(batch, range(half, batch.num_images))]


def with_boxes(batch: TrainingBatch, places: range | None = None) -> TrainingBatch:
    """Return the batch with two points of each prompt made corners of a box.

    Args:
        batch: Asks with clicks.
        places: The images whose objects are asked about with boxes; None is all of them.
    """
    asked = range(batch.num_images) if places is None else places
    labels = batch.prompts.point_labels
    assert labels is not None
    is_asked = (batch.image_index >= asked.start) & (batch.image_index < asked.stop)
    boxes = torch.where(is_asked[:, None], torch.tensor([2, 3, -1]), labels)
    prompts = dataclasses.replace(batch.prompts, point_labels=boxes)
    return dataclasses.replace(batch, prompts=prompts)


def images_of(batch: TrainingBatch, places: range) -> TrainingBatch:
    """Return some images of a batch with what belongs to them."""
    is_here = (batch.image_index >= places.start) & (batch.image_index < places.stop)
    index = batch.image_index[is_here] - places.start
    points, labels = batch.prompts.points, batch.prompts.point_labels
    assert points is not None
    assert labels is not None
    return dataclasses.replace(
        batch,
        images=batch.images[places.start : places.stop],
        masks=batch.masks[is_here],
        image_index=index,
        prompts=Prompts(image_index=index, points=points[is_here], point_labels=labels[is_here]),
        error_click_draws=batch.error_click_draws[is_here],
        category_index=batch.category_index[is_here],
        annotated=batch.annotated[places.start : places.stop],
        keys=batch.keys[places.start : places.stop],
        positions=batch.positions[places.start : places.stop],
    )
