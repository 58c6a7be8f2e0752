"""Pictures of an answer: the image with the outlines of reference and prediction, and the prompt.

Axis names used in this file:
    row, column  of the original image
    channel      red, green, blue
"""

import base64
import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Shaped

from evaluation.image_prompt import FOREGROUND_CLICK, ImagePrompt
from evaluation.surface_distance import boundary_pixels

if TYPE_CHECKING:
    from PIL import Image

REFERENCE_COLOUR = (45, 212, 218)
PREDICTION_COLOUR = (255, 146, 43)
PROMPT_COLOUR = (255, 255, 255)
"""Cyan and orange are told apart by colour-blind readers too, and do not occur in ultrasound."""

LONGEST_SIDE_PIXELS = 480
OUTLINE_PIXELS = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """One answered question, ready to be drawn."""

    image: np.ndarray
    """uint8, grey or RGB."""

    reference: Bool[np.ndarray, "row column"]
    predicted: Bool[np.ndarray, "row column"]
    prompt: ImagePrompt | None
    """None for automatic models."""


def draw_answer(answer: Answer, *, longest_side: int = LONGEST_SIDE_PIXELS) -> "Image.Image":
    """Return the overlay at a size that suits a screen, whatever the image's own size is."""
    from PIL import Image  # noqa: PLC0415

    rows, columns = answer.reference.shape
    scale = longest_side / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = Image.fromarray(answer.image).convert("RGB")
    canvas = np.array(picture.resize(size, Image.Resampling.BICUBIC))
    for mask, colour in [
        (answer.reference, REFERENCE_COLOUR),
        (answer.predicted, PREDICTION_COLOUR),
    ]:
        enlarged = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
        draw_outline(canvas, np.asarray(enlarged), colour=colour, width_pixels=OUTLINE_PIXELS)
    drawn = Image.fromarray(canvas)
    if answer.prompt is not None:
        _draw_prompt(drawn, answer.prompt, scale=scale)
    return drawn


def draw_outline(
    canvas: Shaped[np.ndarray, "row column channel"],
    mask: Bool[np.ndarray, "row column"],
    *,
    colour: tuple[int, int, int],
    width_pixels: int = 1,
) -> None:
    """Paint a mask's boundary on the canvas, which is changed.

    A thick one grows inwards, so that two outlines side by side both stay visible.
    """
    inner = mask
    for _ in range(width_pixels):
        ring = boundary_pixels(inner)
        canvas[ring] = colour
        inner = inner & ~ring


def picture_as_data_uri(picture: "Image.Image", *, quality: int = 88) -> str:
    """Return a picture as a JPEG inside a `data:` address, so that a page needs no other file."""
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _draw_prompt(picture: "Image.Image", prompt: ImagePrompt, *, scale: float) -> None:
    from PIL import ImageDraw  # noqa: PLC0415

    pen = ImageDraw.Draw(picture)
    if prompt.box is not None:
        x0, y0, x1, y1 = ((value + 0.5) * scale for value in prompt.box)
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=PROMPT_COLOUR, width=1)
    for (x, y), label in zip(prompt.points, prompt.point_labels, strict=True):
        at_x, at_y, reach = (x + 0.5) * scale, (y + 0.5) * scale, 9
        for width, colour in [(5, (0, 0, 0)), (2, PROMPT_COLOUR)]:
            pen.line((at_x - reach, at_y, at_x + reach, at_y), fill=colour, width=width)
            if label == FOREGROUND_CLICK:  # a plus inside the object, a minus outside of it
                pen.line((at_x, at_y - reach, at_x, at_y + reach), fill=colour, width=width)
