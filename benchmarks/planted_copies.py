"""Copies as they are found between public datasets: cropped, scaled, mirrored, drawn on."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from shards import Origin, UltrasoundSample, hash_pixels, make_key

Copying = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From a grey picture (row column) and a generator to its copy."""


def _crop(image: np.ndarray, generator: np.random.Generator, *, largest: float) -> np.ndarray:
    """Cut up to the share `largest` off every side."""
    rows, columns = image.shape
    top, bottom = (generator.uniform(0, largest, 2) * rows).astype(int)
    left, right = (generator.uniform(0, largest, 2) * columns).astype(int)
    return image[top : rows - bottom, left : columns - right]


def _scale(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    factor = float(generator.uniform(0.5, 1.6))
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(Image.fromarray(image).resize(size))


def _squeeze(image: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((256, 256)))


def _brighten(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    curved = (image / 255.0) ** generator.uniform(0.6, 1.4)
    brighter = 255.0 * curved * generator.uniform(0.8, 1.3) + generator.uniform(0, 20)
    return np.clip(brighter, 0, 255).astype(np.uint8)


def _mirror(image: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


def _draw_marks(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw calipers, a line between them, and a label, as on a scanner."""
    drawn = Image.fromarray(image)
    pen = ImageDraw.Draw(drawn)
    rows, columns = image.shape
    ends = generator.uniform(0.25, 0.75, (4, 2)) * (columns, rows)
    arm = max(columns / 60, 3)
    for x, y in ends:
        pen.line((x - arm, y, x + arm, y), fill=255)
        pen.line((x, y - arm, x, y + arm), fill=255)
    pen.line((*ends[0], *ends[1]), fill=200)
    pen.text((columns * 0.05, rows * 0.05), "LT 12:00 RAD", fill=255)
    return np.asarray(drawn)


def _do_all(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    cropped = _crop(image, generator, largest=0.15)
    return _draw_marks(
        _brighten(_scale(_mirror(cropped, generator), generator), generator), generator
    )


COPYINGS: dict[str, Copying] = {
    "cropped by up to 10 % a side": functools.partial(_crop, largest=0.1),
    "cropped by up to 25 % a side": functools.partial(_crop, largest=0.25),
    "scaled by 0.5 to 1.6": _scale,
    "squeezed into a square": _squeeze,
    "brightened": _brighten,
    "mirrored": _mirror,
    "with marks": _draw_marks,
    "all of these": _do_all,
}


def copy_sample(
    sample: UltrasoundSample, *, kind: str, generator: np.random.Generator
) -> UltrasoundSample:
    """Return a copy of a sample's picture, of an unknown subject and without annotations."""
    grey = np.asarray(Image.fromarray(sample.image).convert("L"))
    image = COPYINGS[kind](grey, generator)
    key = make_key(sample.origin.source, name=f"{list(COPYINGS).index(kind)}-{sample.key[-60:]}")
    origin = Origin(
        source=sample.origin.source,
        licence=sample.origin.licence,
        subject=key,
        subject_is_known=False,
        original_size=image.shape,
        pixels_sha256=hash_pixels(image),
    )
    return dataclasses.replace(
        sample, key=key, image=image, objects=(), origin=origin, encoded_image=None
    )
