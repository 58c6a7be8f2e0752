"""From a sample of the stream to what a training batch holds of it.

Axis names used in this file:
    object    one annotated object that was chosen and is still in view
    slot      one place for a click or a box corner
    pass      one further question about the object, with a click in what was wrong
    category  one category of the model's list
    channel, row, column   of the framed image
"""

import itertools
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from model import Framing, PromptSimulationConfig, simulate_prompt
from shards import UltrasoundObject, UltrasoundSample

from .augmentation.augment import augment
from .augmentation.config import AugmentationConfig
from .sample_draws import Purpose, SampleDraws

UNKNOWN_CATEGORY = -1
"""Index of a category that the model's list does not name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSample:
    """One framed image, some of its objects, and a prompt for each of them."""

    key: str
    position: int
    image: Float[Tensor, "channel row column"]
    masks: Bool[Tensor, "object row column"]
    points: Float[Tensor, "object slot 2"]
    point_labels: Int[Tensor, "object slot"]
    error_click_draws: Float[Tensor, "object pass"]
    category_index: Int[Tensor, " object"]
    annotated: Bool[Tensor, " category"]
    num_vanished_objects: int
    """Objects that framing and augmentation left too small or out of view."""


@dataclass(frozen=True, kw_only=True)
class TrainingTransform:
    """Makes a training sample; all chance comes from the position in the stream. Picklable."""

    framing: Framing
    num_channels: int
    categories: tuple[str, ...]
    annotated_categories: Mapping[str, frozenset[str]]
    """Of every source by name: the categories whose absence is known."""

    prompts: PromptSimulationConfig
    augmentation: AugmentationConfig
    seed: int
    max_objects_per_image: int
    num_error_clicks: int

    def __call__(self, sample: UltrasoundSample, position: int) -> TrainingSample:
        """Choose objects, frame and augment, and draw a prompt for every object still in view."""
        draws = SampleDraws(seed=self.seed, position=position)
        chosen = choose_objects(
            len(sample.objects), max_objects=self.max_objects_per_image, draws=draws
        )
        framed = augment(
            sample.image,
            [sample.objects[place].mask() for place in chosen],
            framing=self.framing,
            num_channels=self.num_channels,
            config=self.augmentation,
            draws=draws,
        )
        num_pixels = [np.count_nonzero(mask) for mask in framed.masks.numpy()]
        is_kept = [pixels >= self.augmentation.min_object_pixels for pixels in num_pixels]
        masks = framed.masks[torch.tensor(is_kept, dtype=torch.bool)]
        points, point_labels = self._draw_prompts(masks.numpy(), draws=draws)
        kept = list(itertools.compress(chosen, is_kept))
        out_of_view = [
            place for place, pixels in zip(chosen, num_pixels, strict=True) if not pixels
        ]
        return TrainingSample(
            key=sample.key,
            position=position,
            image=framed.image,
            masks=masks,
            points=points,
            point_labels=point_labels,
            error_click_draws=self._draw_error_clicks(len(kept), draws=draws),
            category_index=self._category_index([sample.objects[place] for place in kept]),
            annotated=self._annotated(sample, complete={*kept, *out_of_view}),
            num_vanished_objects=len(chosen) - len(kept),
        )

    def _draw_prompts(
        self, masks: Bool[np.ndarray, "object row column"], *, draws: SampleDraws
    ) -> tuple[Float[Tensor, "object slot 2"], Int[Tensor, "object slot"]]:
        num_slots = self.prompts.num_slots
        points = np.empty((len(masks), num_slots, 2), dtype=np.float32)
        labels = np.empty((len(masks), num_slots), dtype=np.int64)
        generator = draws.generator(Purpose.PROMPTS)
        for place, mask in enumerate(masks):
            prompt = simulate_prompt(mask, generator, self.prompts)
            points[place], labels[place] = prompt.points, prompt.point_labels
        return torch.from_numpy(points), torch.from_numpy(labels)

    def _draw_error_clicks(
        self, num_objects: int, *, draws: SampleDraws
    ) -> Float[Tensor, "object pass"]:
        generator = draws.generator(Purpose.ERROR_CLICKS)
        return torch.from_numpy(
            generator.random((num_objects, self.num_error_clicks), dtype=np.float32)
        )

    def _category_index(self, objects: Sequence[UltrasoundObject]) -> Int[Tensor, " object"]:
        places = {category: place for place, category in enumerate(self.categories)}
        indices = [places.get(one.category, UNKNOWN_CATEGORY) for one in objects]
        return torch.tensor(indices, dtype=torch.int64)

    def _annotated(
        self, sample: UltrasoundSample, *, complete: Set[int]
    ) -> Bool[Tensor, " category"]:
        """Return for which categories the masks of this sample are all that is in the image.

        A category with an object that was not chosen, or that was too small to keep, is left out:
        its masks show less than the image does.
        """
        known = self.annotated_categories[sample.origin.source]
        partial = {
            one.category for place, one in enumerate(sample.objects) if place not in complete
        }
        present = {one.category for one in sample.objects}
        whole = (known | present) - partial
        return torch.tensor([category in whole for category in self.categories], dtype=torch.bool)


def choose_objects(num_objects: int, *, max_objects: int, draws: SampleDraws) -> list[int]:
    """Return the places of at most `max_objects` objects, drawn evenly, in ascending order."""
    if num_objects <= max_objects:
        return list(range(num_objects))
    generator = draws.generator(Purpose.OBJECTS)
    return sorted(generator.choice(num_objects, size=max_objects, replace=False).tolist())
