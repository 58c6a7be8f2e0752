"""Named protocols: what the ground truth tells a model, as clicks, a box, or not at all.

A score means nothing without the protocol's name. Points and boxes are in pixels of the original
image; the centre of the first pixel lies at (0, 0), and x runs along the columns.

Axis names used in this file:
    row     image rows, in pixels
    column  image columns, in pixels
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from .image_prompt import BACKGROUND_CLICK, FOREGROUND_CLICK, ImagePrompt

AUTOMATIC_PROTOCOL = "automatic"
"""Protocol of models that take no prompt: the ground truth tells nothing."""

DETECTOR_PROTOCOL = "detector_box"
"""Protocol whose boxes come from an automatic model: the ground truth tells nothing."""

CLICKS_PROTOCOL = "k_clicks"
"""Protocol of `MOST_CLICKS` clicks, one after another; its rows are `k_clicks_01` and so on."""

MOST_CLICKS = 10

CLICKS_IN_TABLES = (1, 3, 5, 10)
"""Numbers of clicks whose rows stand in tables; a curve shows all."""

LABEL_MAP = "_label_map"
"""Ending of the protocol of rows where an image's answers were merged into one label map."""

SMALLEST_PART = 0.1

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
    del generator
    return _click(mask, int(_depth(mask).argmax()))


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


def mass_centre(mask: Mask, generator: np.random.Generator) -> ImagePrompt:
    """Click the mean position of the foreground, as UltraSam's test does: outside of a crescent."""
    del generator
    rows, columns = np.nonzero(mask)
    return ImagePrompt(
        points=((float(columns.mean()), float(rows.mean())),), point_labels=(FOREGROUND_CLICK,)
    )


def jittered_box(mask: Mask, generator: np.random.Generator, *, percent: int) -> ImagePrompt:
    """Give the tight box with each side moved by up to so many percent of the box's length.

    Drawn uniformly, inwards or outwards; the box stays in the image and is a pixel wide at least.
    """
    tight = box(mask, generator).box
    assert tight is not None
    corners = np.array(tight).reshape(2, 2)
    reach = percent / 100 * (corners[1] - corners[0])
    corners += generator.uniform(-1.0, 1.0, size=(2, 2)) * reach
    last = np.array(mask.shape[::-1]) - 0.5  # outer edge of the last pixel
    first = np.clip(corners[0], -0.5, last - 1)
    end = np.clip(np.maximum(corners[1], first + 1), 0.5, last)
    return ImagePrompt(box=(float(first[0]), float(first[1]), float(end[0]), float(end[1])))


def noisy_point(mask: Mask, generator: np.random.Generator, *, percent: int) -> ImagePrompt:
    """Click beside the centre point: moved by up to so many percent of the box's sides.

    Drawn uniformly along each axis; the click stays in the image, but may miss the object.
    """
    centre, tight = centre_point(mask, generator).points[0], box(mask, generator).box
    assert tight is not None
    sides = np.array([tight[2] - tight[0], tight[3] - tight[1]])
    moved = np.array(centre) + generator.uniform(-1.0, 1.0, size=2) * percent / 100 * sides
    x, y = np.clip(moved, 0, np.array(mask.shape[::-1]) - 1).tolist()
    return ImagePrompt(points=((x, y),), point_labels=(FOREGROUND_CLICK,))


def next_click(prompt: ImagePrompt, *, answer: Mask, reference: Mask) -> ImagePrompt:
    """Return the prompt with one click more, in the middle of the largest error of the answer.

    The click goes to the pixel that lies deepest in what is missing, where it is positive, or in
    what is too much, where it is negative; without an error the prompt stays as it is.
    """
    depths = [_depth(reference & ~answer), _depth(answer & ~reference)]
    deepest = [float(depth.max()) for depth in depths]
    if max(deepest) == 0:
        return prompt
    is_excess = deepest[1] > deepest[0]
    row, column = divmod(int(depths[is_excess].argmax()), reference.shape[1])
    return ImagePrompt(
        points=(*prompt.points, (float(column), float(row))),
        point_labels=(*prompt.point_labels, BACKGROUND_CLICK if is_excess else FOREGROUND_CLICK),
    )


def boxes_around(mask: Mask) -> list[ImagePrompt]:
    """Return a tight box around each part of a detector's mask, but for specks beside the largest.

    Parts touch by 8 neighbours; a part below `SMALLEST_PART` of the largest one's area is a speck.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415

    parts, _ = cast(tuple[np.ndarray, int], label(mask, structure=np.ones((3, 3))))
    areas = np.bincount(parts.ravel())[1:]
    return [
        ImagePrompt(
            box=(columns.start - 0.5, rows.start - 0.5, columns.stop - 0.5, rows.stop - 0.5)
        )
        for (rows, columns), area in zip(find_objects(parts), areas, strict=True)
        if area >= SMALLEST_PART * areas.max()
    ]


PROTOCOLS: dict[str, PromptProtocol] = {
    "published_click": PromptProtocol(
        tells="one click: the middle foreground pixel of the reference in raster order",
        draw=published_click,
    ),
    "centre_point": PromptProtocol(
        tells="one click: the pixel of the reference that lies farthest from its boundary",
        draw=centre_point,
    ),
    "mass_centre": PromptProtocol(
        tells="one click: the mean position of the reference, which may lie outside of it",
        draw=mass_centre,
    ),
    "random_point": PromptProtocol(
        tells="one click: a pixel of the reference, drawn uniformly with a fixed seed",
        draw=random_point,
    ),
    **{
        f"noisy_point_{percent}": PromptProtocol(
            tells=f"one click: the centre point, moved along each axis by up to {percent} % of the "
            "side of the reference's box; it may miss the reference",
            draw=functools.partial(noisy_point, percent=percent),
        )
        for percent in (5, 10, 20, 30, 50)
    },
    "box": PromptProtocol(tells="the tight bounding box of the reference", draw=box),
    **{
        f"box_jitter_{percent}": PromptProtocol(
            tells=f"the bounding box of the reference, each side moved by up to {percent} % of the "
            "box's length",
            draw=functools.partial(jittered_box, percent=percent),
        )
        for percent in (5, 10, 20)
    },
}
"""Every protocol of one prompt from the reference; a new one is one function and one line here."""

ROBUSTNESS = "robustness"
"""Stands for all protocols of prompts: how much a model depends on where a user points."""

MORE_PROTOCOLS = {
    CLICKS_PROTOCOL: f"1 to {MOST_CLICKS} clicks: the first is the centre point, each further one "
    "lies in the middle of the largest error of the answer so far",
    DETECTOR_PROTOCOL: "nothing: the boxes are drawn around what an automatic model finds",
    AUTOMATIC_PROTOCOL: "nothing: the model answers by itself for every category that a source "
    "annotates",
}
"""Protocols that are more than one prompt from the reference, and what they tell."""


def what_is_told(protocol: str) -> str:
    """Return what the ground truth tells a model under the protocol of a row, in words."""
    merged = protocol.endswith(LABEL_MAP)
    name = protocol.removesuffix(LABEL_MAP)
    if num_clicks := num_clicks_of(name):
        name, count = CLICKS_PROTOCOL, f" (here {num_clicks})"
    else:
        count = ""
    told = PROTOCOLS[name].tells if name in PROTOCOLS else MORE_PROTOCOLS[name]
    after = "; the answers about an image are merged into one label map" if merged else ""
    return f"{told}{count}{after}"


def rows_after(num_clicks: int) -> str:
    """Return the protocol of the rows after so many clicks."""
    return f"{CLICKS_PROTOCOL}_{num_clicks:02}"


def is_in_tables(protocol: str) -> bool:
    """Return whether rows under a protocol stand in tables of several protocols."""
    num_clicks = num_clicks_of(protocol.removesuffix(LABEL_MAP))
    return not num_clicks or num_clicks in CLICKS_IN_TABLES


def is_after_clicks(protocol: str) -> bool:
    """Return whether rows are one step of `k_clicks`, which a curve shows."""
    return num_clicks_of(protocol.removesuffix(LABEL_MAP)) > 0


def num_clicks_of(protocol: str) -> int:
    """Return after how many clicks a protocol's rows were scored; 0 for another protocol."""
    stem, _, count = protocol.rpartition("_")
    return int(count) if stem == CLICKS_PROTOCOL else 0


def protocol_named(name: str) -> PromptProtocol:
    """Return the protocol of that name, of one prompt from the reference.

    Raises:
        ValueError: There is none.
    """
    if name not in PROTOCOLS:
        raise ValueError(
            f"protocols: there is no protocol {name!r}. Choose from "
            f"{', '.join([*PROTOCOLS, *MORE_PROTOCOLS])}, or {ROBUSTNESS} for all of prompts."
        )
    return PROTOCOLS[name]


def object_generator(*, seed: int, key: str, object_index: int) -> np.random.Generator:
    """Return the generator of one object: the same on any rank, in any batch, on any machine."""
    digest = hashlib.sha256(f"{key}/{object_index}".encode()).digest()
    return np.random.default_rng((seed, int.from_bytes(digest[:8], "little")))


def _depth(mask: Mask) -> Float[np.ndarray, "row column"]:
    """Return each foreground pixel's distance from the background, which surrounds the image."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415

    return np.asarray(distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]


def _click(mask: Mask, flat_index: int) -> ImagePrompt:
    row, column = divmod(flat_index, mask.shape[1])
    return ImagePrompt(points=((float(column), float(row)),), point_labels=(FOREGROUND_CLICK,))
