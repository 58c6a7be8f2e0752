"""Segment ultrasound images with the model in the folder that holds this file.

It needs onnxruntime, numpy and pillow, and nothing else. In Python:

    from predict import Segmenter
    segmenter = Segmenter("folder")
    masks = segmenter.segment("image.png", points=[(120, 80)], labels=[1])

A model without prompts finds by itself: `segmenter.find("image.png")["label_map"]`. On the command
line: `python predict.py image.png --point 120,80 --output mask.png`. Points are in pixels of the
image as it is shown, x right and y down; (0, 0) is the first one's centre. Not a medical device.
"""

import argparse
import hashlib
import json
import struct
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

Picture = str | Path | np.ndarray | Image.Image
Points = Sequence[Sequence[int | float]]
Labels = Sequence[int] | None
Box = Sequence[int | float] | None
Arrays = dict[str, np.ndarray]
Size = Sequence[int]  # rows, columns

FORMAT_NAME, FORMAT_VERSION, OLDEST_FORMAT_VERSION = "samuspretrain-deployable", 4, 3
MIN_SIDE_PIXELS = 8  # a picture with a shorter side holds no structure to segment
WINDOW_PERCENTILES = (0.5, 99.5)  # more than 8 bits are mapped from this window to 0 .. 255
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")  # Pillow's grey with more than 8 bits
FOREGROUND, BACKGROUND, BOX_FIRST_CORNER, BOX_SECOND_CORNER, ABSENT = 1, 0, 2, 3, -1


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the user says about one object, in pixels of the image.

    `points` are clicks (x, y); `labels` has one per click, 1 inside the object and 0 outside of it
    (None: all inside); `box` is x0, y0, x1, y1 around the object; `mask` is an earlier answer to
    refine, as `Segmenter.logits` returns one: float (row, column) on the image's grid.
    """

    points: Points = ()
    labels: Labels = None
    box: Box = None
    mask: np.ndarray | None = None


class Segmenter:
    """The model of a deployable folder, ready to segment."""

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        form: str | None = None,
        num_threads: int | None = None,
        verify: bool = True,
    ) -> None:
        """Open a folder (None: this file's) in a form (None: the first); verify its checksums."""
        self.folder = Path(__file__).parent if folder is None else Path(folder)
        if verify:
            verify_checksums(self.folder)
        self.preprocessing = read_preprocessing(self.folder)
        forms = self.preprocessing["graphs"]
        self.form = form or next(iter(forms))
        if self.form not in forms:
            raise ValueError(f"{self.folder} has no form {form}; it has {', '.join(forms)}.")
        self._graphs = {
            name: _open_graph(self.folder / file, num_threads, on_gpu=self.form == "float16")
            for name, file in forms[self.form].items()
        }

    def segment(
        self, image: Picture, *, points: Points = (), labels: Labels = None, box: Box = None
    ) -> np.ndarray:
        """Return the mask of the prompted object, bool (1, row, column), asked as with `Prompt`."""
        return self.masks(image, prompts=[Prompt(points=points, labels=labels, box=box)])

    def masks(self, image: Picture, *, prompts: Sequence[Prompt]) -> np.ndarray:
        """Return a mask for each prompt, bool (prompt, row, column); the image is encoded once."""
        return self._cut(self.logits(image, prompts=prompts))

    def find(self, image: Picture) -> Arrays:
        """Return what a model without prompts finds: `masks`, bool (category, row, column).

        And `label_map`, uint8 (row, column), 0 for nothing and else 1 + the likeliest category's
        place; `presence` (category) in [0, 1]: how sure it is that the image shows it at all.
        """
        logits, presence = self.category_logits(image)
        masks = self._cut(logits)
        labels = np.where(masks.any(axis=0), logits.argmax(axis=0) + 1, 0).astype(np.uint8)
        return {"masks": masks, "label_map": labels, "presence": 0.5 + 0.5 * np.tanh(presence / 2)}

    def category_logits(self, image: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (category, row, column) on the image's grid, and those of presence."""
        pixels = read_image(image)
        found = self._run("automatic", images=frame_image(pixels, self.preprocessing)[None])
        size, maps = pixels.shape[:2], found["logits"][0]
        maps = [unframe_logits(one, size, self.preprocessing) for one in maps]
        return np.stack(maps), found["presence"][0]

    def _graph(self, name: str) -> onnxruntime.InferenceSession:
        if name not in self._graphs:
            method = "find, without prompts" if name != "automatic" else "segment, with a prompt"
            raise ValueError(f"{self.folder} does not answer that; call {method}.")
        return self._graphs[name]

    def _run(self, name: str, **inputs: np.ndarray) -> Arrays:
        graph = self._graph(name)
        outputs = [output.name for output in graph.get_outputs()]
        try:
            return dict(zip(outputs, map(np.asarray, graph.run(outputs, inputs)), strict=True))
        except Exception as error:  # onnxruntime's errors share no class but this
            told = f"its graphs do not run ({' '.join(str(error).split())})"
            raise RuntimeError(f"{self.folder}: {told}. Export the model again.") from error

    def _cut(self, logits: np.ndarray) -> np.ndarray:
        if not np.isfinite(logits).all():
            raise ValueError(f"{self.folder} answers with NaN. Export another checkpoint.")
        return logits > self.preprocessing["threshold_logit"]

    def logits(self, image: Picture, *, prompts: Sequence[Prompt]) -> np.ndarray:
        """Return float32 logits (prompt, row, column) on the image's grid; it is encoded once."""
        self._graph("decoder")  # a model without one says so before anything is read
        pixels = read_image(image)
        questions = self.frame_prompts(prompts, pixels.shape[:2])
        return self.decode(self.encode(pixels), questions, pixels.shape[:2])

    def encode(self, pixels: np.ndarray) -> Arrays:
        """Return the features of an 8-bit image (row, column) or (row, column, 3)."""
        return self._run("encoder", images=frame_image(pixels, self.preprocessing)[None])

    def decode(self, features: Arrays, questions: Arrays, size: Size) -> np.ndarray:
        """Return the logits (prompt, row, column) of framed prompts on the image's own grid."""
        answers = self._run("decoder", **features, **questions)["logits"]
        return np.stack([unframe_logits(one, size, self.preprocessing) for one in answers])

    def frame_prompts(self, prompts: Sequence[Prompt], size: Size) -> Arrays:
        """Return what the decoder is asked; label -1 fills up prompts with fewer points."""
        kinds, asked = self.preprocessing["prompt_kinds"], prompts or [Prompt()]
        rows = [check_prompt(prompt, size, kinds) for prompt in asked]
        filled = np.full((len(rows), max(1, *map(len, rows)), 3), float(ABSENT))
        for index, row in enumerate(rows):
            filled[index, : len(row)] = row
        points = frame_points(filled[..., :2], size, self.preprocessing).astype(np.float32)
        index, labels = np.zeros(len(rows), np.int64), filled[..., 2].astype(np.int64)
        questions = {"image_index": index, "points": points, "point_labels": labels}
        if "masks" in kinds:
            masks = [np.zeros(size) if one.mask is None else one.mask for one in asked]
            framed = [frame_logits(mask, self.preprocessing) for mask in masks]
            questions["mask_logits"] = np.stack(framed)[:, None]
            questions["has_mask"] = np.array([one.mask is not None for one in asked])
        return questions


def verify_checksums(folder: Path) -> None:
    """Raise unless every file that `checksums.json` names is there, unchanged."""
    for name, expected in _read_json(folder, "checksums.json", key="files")["files"].items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. Copy the whole deployable folder again.")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            told = f"its sha256 is {found}, checksums.json says {expected}"
            raise ValueError(f"{path} is damaged or was changed: {told}. Copy the folder again.")


def read_preprocessing(folder: Path) -> dict[str, Any]:
    """Return `preprocessing.json`, checked for a version that this file understands."""
    content = _read_json(folder, "preprocessing.json", key="format")
    version = content.get("format_version")
    if content.get("format") != FORMAT_NAME or not isinstance(version, int):
        raise ValueError(f"{folder / 'preprocessing.json'} does not describe a {FORMAT_NAME}.")
    if not OLDEST_FORMAT_VERSION <= version <= FORMAT_VERSION:
        told = f"this predict.py reads {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}"
        raise ValueError(f"{folder} has format version {version}; {told}. Use that folder's own.")
    return content


def _read_json(folder: Path, name: str, *, key: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        told = "is no deployable folder, or a part of one. Give what export_deployable wrote, whole"
        raise FileNotFoundError(f"{path} does not exist: {folder} {told}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Copy the folder again.") from error
    if not isinstance(content, dict) or key not in content:
        raise ValueError(f"{path} must hold a JSON object with {key!r}. Copy the folder again.")
    return content


def _open_graph(path: Path, threads: int | None, *, on_gpu: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads or 0, 3
    providers = ["CUDAExecutionProvider"] * on_gpu + ["CPUExecutionProvider"]
    try:
        graph = onnxruntime.InferenceSession(str(path), options, providers)
    except Exception as error:  # onnxruntime's errors share no class but this
        raise ValueError(f"{path} cannot be opened by onnxruntime: {error}") from error
    if graph.get_providers()[0] != providers[0]:
        raise ValueError(f"{path} is for GPUs, and onnxruntime finds none. Use another form.")
    return graph


def read_image(source: Picture) -> np.ndarray:
    """Return 8-bit pixels, uint8 (row, column) or (row, column, 3), of a file, picture or array.

    EXIF orientation is applied; palettes become RGB; see-through parts lie on black; 1-bit becomes
    0 and 255. Refused are several frames, 16-bit colours, and sides below `MIN_SIDE_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        return to_eight_bit(source)
    if isinstance(source, Image.Image):
        return _pixels_of(source, name="the image")
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such image file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.mode not in DEEP_MODES and ";16" in str(picture.tile):
                    raise ValueError(f"{path} has 16-bit colours; save it with 8 bits.")
                picture.load()
                return _pixels_of(picture, name=str(path))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path} is too large: {error} Crop it or scale it down.") from error
    except (OSError, SyntaxError, struct.error) as error:
        told = f"({error}). PNG, JPEG and TIFF files are read."
        raise ValueError(f"{path} cannot be read as an image {told}") from error


def _pixels_of(picture: Image.Image, *, name: str) -> np.ndarray:
    if (num_frames := getattr(picture, "n_frames", 1)) > 1:
        raise ValueError(f"{name} holds {num_frames} frames; save the one to segment as a file.")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in DEEP_MODES:
        return to_eight_bit(np.asarray(upright))
    if upright.mode in ("1", "L") and "transparency" not in upright.info:
        return to_eight_bit(np.asarray(upright.convert("L")))
    layered = upright.convert("RGBA")
    black = Image.new("RGBA", layered.size, (0, 0, 0, 255))
    return to_eight_bit(np.asarray(Image.alpha_composite(black, layered).convert("RGB")))


def to_eight_bit(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 pixels of an array (row, column) or (row, column, 3).

    8-bit arrays stay and bool becomes 0 and 255. Others are mapped linearly from their percentiles
    `WINDOW_PERCENTILES` to 0 .. 255; what is not finite, and an array of one value, becomes 0.
    """
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] == 3):
        raise ValueError(f"The image has shape {pixels.shape}; (rows, columns[, 3]) is expected.")
    if min(pixels.shape[:2]) < MIN_SIDE_PIXELS:
        wanted = f"at least {MIN_SIDE_PIXELS} on each side are expected"
        raise ValueError(f"The image has {pixels.shape[1]} x {pixels.shape[0]} pixels; {wanted}.")
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    low, high = np.percentile(values[finite], WINDOW_PERCENTILES) if finite.any() else (0, 0)
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scaled = (np.where(finite, values, low) - low) / (high - low)
    return np.rint(np.clip(scaled, 0.0, 1.0) * 255.0).astype(np.uint8)


def frame_image(pixels: np.ndarray, preprocessing: dict[str, Any]) -> np.ndarray:
    """Return the model's input, float32 (channel, row, column) in [0, 1], of 8-bit pixels."""
    num_channels, side = preprocessing["num_channels"], preprocessing["input_size"]
    converted = Image.fromarray(pixels).convert("L" if num_channels == 1 else "RGB")
    rows, columns = framed_size(pixels.shape[:2], preprocessing)
    padding = np.array(preprocessing["padding"] or [0.0], dtype=np.float32)
    framed = np.ones((num_channels, side, side), dtype=np.float32) * padding[:, None, None]
    planes = np.atleast_3d(np.asarray(converted, dtype=np.float32) / 255.0)
    framed[:, :rows, :columns] = [_resize(one, rows, columns) for one in planes.transpose(2, 0, 1)]
    return framed


def framed_size(original_size: Sequence[int], preprocessing: dict[str, Any]) -> tuple[int, int]:
    """Return the rows and columns that the image fills in the model's square input."""
    side = preprocessing["input_size"]
    if preprocessing["fit"] == "squash":
        return side, side
    scale = side / max(original_size)
    rows, columns = (max(1, int(length * scale + 0.5)) for length in original_size)
    return rows, columns


def frame_points(points: np.ndarray, size: Size, preprocessing: dict[str, Any]) -> np.ndarray:
    """Return points (..., 2) as (x, y) in framed pixels; (0, 0) is a pixel's centre in both."""
    rows, columns = framed_size(size, preprocessing)
    return (points + 0.5) * [columns / size[1], rows / size[0]] - 0.5


def frame_logits(logits: np.ndarray, preprocessing: dict[str, Any]) -> np.ndarray:
    """Return logits (row, column) on the image's grid as the decoder takes them for a prompt."""
    side, mask_size = preprocessing["input_size"], preprocessing["mask_size"]
    rows, columns = framed_size(logits.shape, preprocessing)
    framed = np.full((side, side), logits.min(), dtype=np.float32)
    framed[:rows, :columns] = _resize(logits, rows, columns)
    return _resize(framed, mask_size, mask_size)


def unframe_logits(logits: np.ndarray, size: Size, preprocessing: dict[str, Any]) -> np.ndarray:
    """Return the decoder's logits (row, column) on the grid of the original image."""
    side = preprocessing["input_size"]
    rows, columns = framed_size(size, preprocessing)
    if (rows, columns) != (side, side):
        logits = _resize(logits, side, side)[:rows, :columns]
    return _resize(logits, *size)


def _resize(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR))


def check_prompt(
    prompt: Prompt, size: Size, kinds: Sequence[str] = ("boxes", "points")
) -> np.ndarray:
    """Return the prompt as rows (x, y, label), or raise with what is wrong with it."""
    points, box, mask = list(prompt.points), prompt.box, prompt.mask
    labels = [FOREGROUND] * len(points) if prompt.labels is None else list(prompt.labels)
    kinds_given = {"points": points, "boxes": box is not None, "masks": mask is not None}
    given = [kind for kind, is_given in kinds_given.items() if is_given] or ["nothing"]
    if not set(given) <= set(kinds):
        told = f"{' or '.join(kinds)}: give points=[(x, y)], or box=(x0, y0, x1, y1)"
        held = " and ".join(given)
        raise ValueError(f"The prompt holds {held}, but this model is asked with {told}.")
    is_answer = mask is None or (mask.shape == tuple(size) and mask.dtype.kind == "f")
    if mask is not None and not (is_answer and np.isfinite(mask).all()):
        told = f"{mask.dtype} {mask.shape}; finite float {tuple(size)}, as `logits` returns it"
        raise ValueError(f"The mask of the prompt is {told}, is expected.")
    if len(labels) != len(points) or not set(labels) <= {FOREGROUND, BACKGROUND}:
        raise ValueError(f"labels {labels}: one label per point, 1 for inside, else 0.")
    if any(len(point) != 2 for point in points) or (box is not None and len(box) != 4):
        raise ValueError(f"points {points} must be pairs (x, y), and box {box} four numbers.")
    if box is not None and not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"box {tuple(box)} must be (x0, y0, x1, y1) with x0 < x1 and y0 < y1.")
    corners = [] if box is None else [(box[0], box[1]), (box[2], box[3])]
    labels += [] if box is None else [BOX_FIRST_CORNER, BOX_SECOND_CORNER]
    places = np.array([*points, *corners], dtype=np.float64)
    rows, columns = size
    margins = [[0.5]] * len(points) + [[0.0]] * len(corners)  # a box may end at the very edge
    is_inside = (places >= -0.5) & (places <= np.array([[columns, rows]]) - margins)
    for x, y in places[~is_inside.all(axis=1)]:
        told = f"{columns} x {rows} pixels: x goes to {columns - 1} and y to {rows - 1}, from 0"
        raise ValueError(f"({x:g}, {y:g}) lies outside the image of {told}.")
    return np.column_stack([places, labels])


def main(arguments: Sequence[str] | None = None) -> int:
    """Segment one image; write the mask as a PNG of 0 and 255, or the label map."""
    parser = argparse.ArgumentParser(description="Segment an image.")
    parser.add_argument("image", type=Path, help="PNG, JPEG or TIFF file")
    add = parser.add_argument
    add("--point", type=_numbers, action="append", default=[], help="x,y inside the object")
    add("--outside", type=_numbers, action="append", default=[], help="x,y outside of the object")
    add("--box", type=_numbers, help="x0,y0,x1,y1 around the object")
    add("--output", type=Path, help="mask file; default: the image's name with _mask.png")
    options = parser.parse_args(arguments)
    output = options.output or Path(f"{options.image.stem}_mask.png")
    labels = [FOREGROUND] * len(options.point) + [BACKGROUND] * len(options.outside)
    try:
        segmenter, points = Segmenter(), options.point + options.outside
        if segmenter.preprocessing["kind"] == "automatic" and not points and not options.box:
            pixels = segmenter.find(options.image)["label_map"]
        else:
            masks = segmenter.segment(options.image, points=points, labels=labels, box=options.box)
            pixels = masks[0].astype(np.uint8) * 255
        Image.fromarray(pixels).save(output)
    except (ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{output}: {np.count_nonzero(pixels)} of {pixels.size} pixels\n")
    return 0


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
