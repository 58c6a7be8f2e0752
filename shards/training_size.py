"""Images brought down to a size for training, with their masks.

Axis names used in this file:
    row     image rows, in pixels, downwards
    column  image columns, in pixels, to the right
"""

import dataclasses

import numpy as np
from PIL import Image

from .sample import UltrasoundObject, UltrasoundSample, hash_pixels

SHRUNK = "images shrunk to max_side_pixels"
VANISHED = "objects that vanished when their image was shrunk, left out"


def shrink_sample(sample: UltrasoundSample, *, max_side_pixels: int) -> UltrasoundSample:
    """Return the sample with its longer side at most `max_side_pixels`; it is never enlarged.

    The image is resampled bicubically over the area that a new pixel covers. A pixel of a mask is
    set where at least half of its area was; an object of which nothing is left is left out, with a
    note. The spacing grows with the pixels, `original_size` stays as published.
    """
    rows, columns = sample.size
    scale = max_side_pixels / max(rows, columns)
    if scale >= 1:
        return sample
    size = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    image = _resample(sample.image, size=size, how=Image.Resampling.BICUBIC)
    masks = [(thing, _shrink_mask(thing.mask(), size=size)) for thing in sample.objects]
    objects = tuple(
        UltrasoundObject.from_mask(mask, category=thing.category, organ=thing.organ)
        for thing, mask in masks
        if mask.any()
    )
    spacing = sample.origin.spacing_millimetres
    if spacing is not None:
        spacing = (spacing[0] * rows / size[0], spacing[1] * columns / size[1])
    return dataclasses.replace(
        sample,
        image=image,
        objects=objects,
        origin=dataclasses.replace(
            sample.origin, spacing_millimetres=spacing, pixels_sha256=hash_pixels(image)
        ),
        encoded_image=None,
        notes=(*sample.notes, SHRUNK, *(VANISHED,) * (len(masks) - len(objects))),
    )


def _shrink_mask(mask: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
    covered = _resample(mask.astype(np.uint8) * 255, size=size, how=Image.Resampling.BOX)
    return covered >= 128


def _resample(pixels: np.ndarray, *, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    rows, columns = size
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), how))
