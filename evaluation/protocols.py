"""Named protocols: what the ground truth tells a prompted model, as a click or a box.

A score means nothing without the protocol's name. Points and boxes are in pixels of the original
image; the centre of the first pixel lies at (0, 0), and x runs along the columns.

Axis names used in this file:
    row     image rows, in pixels
    column  image columns, in pixels
"""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

from .image_prompt import FOREGROUND_CLICK, ImagePrompt

AUTOMATIC_PROTOCOL = "automatic"
"""Protocol of models that take no prompt: the ground truth tells nothing."""

Mask = Bool[np.ndarray, "row column"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptProtocol:
    """A named way to turn a reference mask into a prompt."""

    tells: str
    """What the model learns from the ground truth, in words for a reader of the report."""

    draw: Callable[[Mask, np.random.Generator], ImagePrompt]

    def __call__(self, mask: Mask, generator: np.random.Generator) -> ImagePrompt:
        """Return the prompt for a mask, which must not be empty.

        Args:
            mask: The object's reference mask on the original grid.
            generator: Source of every random choice; protocols without one ignore it.
        """
        if not mask.any():
            raise ValueError(
                "The object's reference mask is empty, so no prompt can be drawn from it. "
                "launchers/validate_shards.py names such objects; rebuild the corpus without them."
            )
        return self.draw(mask, generator)


def published_click(mask: Mask, generator: np.random.Generator) -> ImagePrompt:
    """Click the middle one of the foreground pixels in raster order, as SAMUS's test does.

    The pixel always lies in the mask, often far from its centre: for a ring, on its rim.
    """
    del generator
    pixels = np.flatnonzero(mask)
    return _click(mask, int(pixels[len(pixels) // 2]))


def centre_point(mask: Mask, generator: np.random.Generator) -> ImagePrompt:
    """Click the foreground pixel farthest from the background; the image's edge counts as one.

    Of several equally far ones it is the first in raster order.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415

    del generator
    depth = np.asarray(distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    return _click(mask, int(depth.argmax()))


def random_point(mask: Mask, generator: np.random.Generator) -> ImagePrompt:
    """Click a foreground pixel drawn uniformly."""
    pixels = np.flatnonzero(mask)
    return _click(mask, int(pixels[generator.integers(len(pixels))]))


def box(mask: Mask, generator: np.random.Generator) -> ImagePrompt:
    """Give the tight box around the mask, from outer pixel edge to outer pixel edge."""
    del generator
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    first, last = (columns[0] - 0.5, rows[0] - 0.5), (columns[-1] + 0.5, rows[-1] + 0.5)
    return ImagePrompt(box=(float(first[0]), float(first[1]), float(last[0]), float(last[1])))


PROTOCOLS: dict[str, PromptProtocol] = {
    "published_click": PromptProtocol(
        tells="one click: the middle foreground pixel of the reference in raster order",
        draw=published_click,
    ),
    "centre_point": PromptProtocol(
        tells="one click: the pixel of the reference that lies farthest from its boundary",
        draw=centre_point,
    ),
    "random_point": PromptProtocol(
        tells="one click: a pixel of the reference, drawn uniformly with a fixed seed",
        draw=random_point,
    ),
    "box": PromptProtocol(tells="the tight bounding box of the reference", draw=box),
}
"""Every protocol by name; a new one is one function and one line here."""


def protocol_named(name: str) -> PromptProtocol:
    """Return the protocol of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in PROTOCOLS:
        raise ValueError(
            f"protocols: there is no protocol {name!r}. Choose from {', '.join(PROTOCOLS)}; "
            f"models without prompts are evaluated as {AUTOMATIC_PROTOCOL!r}."
        )
    return PROTOCOLS[name]


def object_generator(*, seed: int, key: str, object_index: int) -> np.random.Generator:
    """Return the generator of one object: the same on any rank, in any batch, on any machine."""
    digest = hashlib.sha256(f"{key}/{object_index}".encode()).digest()
    return np.random.default_rng((seed, int.from_bytes(digest[:8], "little")))


def _click(mask: Mask, flat_index: int) -> ImagePrompt:
    row, column = divmod(flat_index, mask.shape[1])
    return ImagePrompt(points=((float(column), float(row)),), point_labels=(FOREGROUND_CLICK,))
