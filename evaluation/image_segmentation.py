"""One image file and one prompt in, masks and overlays as PNG files out. No reference is needed."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .deployable_config import PredictConfig
from .deployable_predict import Prompt, check_prompt, read_image
from .image_prompt import ImagePrompt
from .model_opening import opened_predictor
from .overlays import draw_outline
from .predictor import Predictor, threshold_logits

TINT = (255, 200, 0)
TINT_STRENGTH = 0.35
PROMPT_COLOURS = {1: "lime", 0: "red"}


@dataclass(frozen=True, kw_only=True)
class SegmentedImage:
    """Where the result of one mask lies, and how large the mask is."""

    name: str
    """`mask`, or the category that an automatic model answers for."""

    mask_path: Path
    overlay_path: Path
    num_pixels: int
    image_pixels: int


def segment_image_file(config: PredictConfig) -> list[SegmentedImage]:
    """Segment `config.image` and write IMAGE_mask.png and IMAGE_overlay.png.

    An automatic model gets no prompt and writes a pair of files for each of its categories.

    Raises:
        FileNotFoundError: The image or the model is missing.
        ValueError: The image cannot be read, or the prompt does not fit it or the model.
        OSError: The output folder cannot be written.
    """
    pixels = read_image(config.image)
    prompt = Prompt(
        points=[(point[0], point[1]) for point in _pairs(config.points)],
        labels=config.labels,
        box=config.box,
    )
    has_prompt = bool(config.points or config.labels or config.box)
    if has_prompt:
        check_prompt(prompt, (pixels.shape[0], pixels.shape[1]))
    folder = writable_folder(Path(config.output))
    with opened_predictor(
        config.model, tracking_uri=config.tracking_uri, base=config.base
    ) as predictor:
        logits = _answer(predictor, pixels, prompt=prompt, has_prompt=has_prompt)
    masks = {
        name: threshold_logits(answer, image=f"image={config.image}", model=f"model={config.model}")
        for name, answer in logits.items()
    }
    return [
        _write(pixels, mask, name=name, prompt=prompt, image=Path(config.image), folder=folder)
        for name, mask in masks.items()
    ]


def writable_folder(folder: Path) -> Path:
    """Make the folder, and raise before anything is computed if files cannot be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise OSError(
            f"output={folder}: nothing can be written there ({error.strerror}). Choose another "
            "folder."
        ) from error


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


def _pairs(points: Sequence[Sequence[float]]) -> Sequence[Sequence[float]]:
    for point in points:
        if len(point) != 2:
            raise ValueError(f"points: {list(point)} is not a pair [x, y]. Write [[x, y], ...].")
    return points


def _answer(
    predictor: Predictor, pixels: np.ndarray, *, prompt: Prompt, has_prompt: bool
) -> dict[str, np.ndarray]:
    """Return the logits of the prompt, or those of every category, by name."""
    if predictor.is_automatic:
        if has_prompt:
            raise ValueError(
                "This model segments its categories by itself and takes no prompt: leave out "
                f"points, labels and box. It knows {', '.join(predictor.categories)}."
            )
        logits = predictor.predict_automatic([pixels])[0].logits
        return dict(zip(predictor.categories, logits, strict=True))
    check_prompt(prompt, (pixels.shape[0], pixels.shape[1]))
    labels = [1] * len(prompt.points) if prompt.labels is None else prompt.labels
    question = ImagePrompt(
        points=tuple((float(x), float(y)) for x, y in prompt.points),
        point_labels=tuple(labels),
        box=None if prompt.box is None else _corners(prompt.box),
    )
    return {"mask": predictor.predict([pixels], [[question]])[0][0]}


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _write(
    pixels: np.ndarray, mask: np.ndarray, *, name: str, prompt: Prompt, image: Path, folder: Path
) -> SegmentedImage:
    stem = image.stem if name == "mask" else f"{image.stem}_{re.sub('[^a-zA-Z0-9_-]', '-', name)}"
    mask_path, overlay_path = folder / f"{stem}_mask.png", folder / f"{stem}_overlay.png"
    Image.fromarray(mask.astype(np.uint8) * 255).save(mask_path)
    draw_overlay(pixels, mask, prompt=prompt).save(overlay_path)
    return SegmentedImage(
        name=name,
        mask_path=mask_path,
        overlay_path=overlay_path,
        num_pixels=int(mask.sum()),
        image_pixels=mask.size,
    )
