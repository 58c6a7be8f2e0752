"""Masks as files: PNG, overlay, NIfTI, COCO and a table of measurements.

Axis names used in this file:
    frame        of a video or DICOM file; one for a picture
    row, column  of the image
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from evaluation.deployable.predict import Prompt
from evaluation.reports.overlays import draw_outline
from shards import RunLength

from .mask_measurement import Measurement

TINT = (255, 200, 0)
TINT_STRENGTH = 0.35
PROMPT_COLOURS = {1: "lime", 0: "red"}
MEASUREMENT_COLUMNS = (
    "file", "frame", "name", "pixels", "pieces", "area", "longest_diameter", "shortest_diameter",
    "unit",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MaskRow:
    """One mask as a line of the tables."""

    file: str
    frame: int
    """From 0."""

    name: str
    """`mask`, or the category that an automatic model answers for."""

    size: tuple[int, int]
    """Rows and columns of the image."""

    num_pixels: int
    run_lengths: RunLength | None
    """None where COCO is not asked for."""

    measurement: Measurement | None
    """None where measurements are not asked for."""


def stem_of_mask(stem: str, name: str) -> str:
    """Return how the files of one mask begin: a lone mask is called as its image is."""
    return stem if name == "mask" else f"{stem}_{re.sub('[^a-zA-Z0-9_-]', '-', name)}"


def write_png(mask: Bool[np.ndarray, "row column"], path: Path) -> Path:
    """Write a mask as a grey picture of 0 and 255."""
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    return path


def draw_overlay(pixels: np.ndarray, mask: np.ndarray, *, prompt: Prompt) -> Image.Image:
    """Return the image with the mask tinted and outlined, and the clicks and the box on top."""
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    painted = colours.astype(np.float64)
    painted[mask] = (1 - TINT_STRENGTH) * painted[mask] + TINT_STRENGTH * np.array(TINT)
    draw_outline(painted, mask, colour=TINT)
    overlay = Image.fromarray(painted.round().astype(np.uint8))
    pen = ImageDraw.Draw(overlay)
    radius = max(2.0, min(mask.shape) / 80)
    labels = [1] * len(prompt.points) if prompt.labels is None else prompt.labels
    for (x, y), label in zip(prompt.points, labels, strict=True):
        place = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(place, fill=PROMPT_COLOURS[label], outline="black")
    if prompt.box is not None:
        pen.rectangle(tuple(prompt.box), outline="cyan")
    return overlay


def write_nifti(
    masks: Bool[np.ndarray, "frame row column"],
    path: Path,
    *,
    spacing_millimetres: tuple[float, float] | None,
) -> Path:
    """Write the masks of all frames as one volume of 0 and 1, with the spacing where it is known.

    Raises:
        ValueError: SimpleITK is not installed.
    """
    try:
        import SimpleITK  # noqa: PLC0415 -- of the extra `formats`
    except ModuleNotFoundError as error:
        raise ValueError(
            "outputs=[nifti] needs the package SimpleITK. Install the extra: "
            "pip install -e '.[formats]'."
        ) from error
    volume = SimpleITK.GetImageFromArray(masks.astype(np.uint8))
    between_rows, between_columns = spacing_millimetres or (1.0, 1.0)
    volume.SetSpacing((between_columns, between_rows, 1.0))
    SimpleITK.WriteImage(volume, str(path), useCompression=True)
    return path


def write_coco(rows: Sequence[MaskRow], path: Path) -> Path:
    """Write all masks that are not empty as one COCO file; each frame is an image of its own."""
    frames = {(row.file, row.frame): row.size for row in rows}
    image_ids = {frame: index for index, frame in enumerate(frames, start=1)}
    categories = {name: i for i, name in enumerate(dict.fromkeys(r.name for r in rows), start=1)}
    images = [
        {"id": image_ids[file, frame], "file_name": file, "frame": frame}
        | {"height": size[0], "width": size[1]}
        for (file, frame), size in frames.items()
    ]
    found = [(row, row.run_lengths) for row in rows if row.run_lengths and row.num_pixels]
    annotations = [
        {"id": index, "image_id": image_ids[row.file, row.frame], "iscrowd": 0}
        | {"category_id": categories[row.name], "area": row.num_pixels}
        | {"segmentation": lengths.to_json(), "bbox": _box_around(lengths.mask())}
        for index, (row, lengths) in enumerate(found, start=1)
    ]
    named = [{"id": index, "name": name} for name, index in categories.items()]
    content = {"images": images, "categories": named, "annotations": annotations}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _box_around(mask: Bool[np.ndarray, "row column"]) -> list[int]:
    """Return left, top, width and height, as COCO has them."""
    down, across = mask.nonzero()
    left, top = int(across.min()), int(down.min())
    return [left, top, int(across.max()) - left + 1, int(down.max()) - top + 1]


def write_measurements(rows: Sequence[MaskRow], path: Path) -> Path:
    """Write the sizes of all masks as CSV, one line a mask; an empty one has no diameters."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(MEASUREMENT_COLUMNS)
        for row in rows:
            if row.measurement is not None:
                table.writerow([row.file, row.frame, row.name, *_sizes(row.measurement)])
    return path


def _sizes(found: Measurement) -> list[str]:
    diameters = [found.longest_diameter, found.shortest_diameter] if found.num_pixels else ["", ""]
    sizes = [found.area, *diameters]
    texts = [size if isinstance(size, str) else f"{size:.4g}" for size in sizes]
    return [str(found.num_pixels), str(found.num_pieces), *texts, found.unit]
