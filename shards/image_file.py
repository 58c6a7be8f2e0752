"""Picture files: read, brought to 8 bits by one rule, and cleaned of everything but pixels."""

import dataclasses
import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

MIN_SIDE_PIXELS = 8
"""A picture with a shorter side holds no structure to segment; it is refused."""

WINDOW_PERCENTILES = (0.5, 99.5)
"""Of all finite values of a picture of more than 8 bits: these become 0 and 255."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS_OF_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_DEEP_MODES = {"I", "I;16", "I;16B", "I;16L", "F"}
_ORIENTATION_TAG = 0x0112


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """A picture as a shard stores it: PNG or JPEG of 8 bits, grey or RGB, nothing but pixels."""

    content: bytes
    extension: str
    """`png` or `jpg`."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageFile:
    """What `read_image` found in a file."""

    pixels: np.ndarray
    """uint8, (row column) or (row column 3)."""

    encoded: EncodedImage
    intensity_window: tuple[float, float] | None


def read_image(path: Path) -> ImageFile:
    """Read a picture file; an 8-bit grey or RGB one keeps its own bytes, others become a PNG.

    Palettes are resolved, an alpha channel is dropped (see-through parts lie on black), an EXIF
    orientation is applied, and more than 8 bits are brought to 8 by the percentile window.

    Raises:
        ValueError: The file is missing, is no picture, or one that the rules do not cover.
    """
    return image_from_bytes(_read_bytes(path), where=str(path))


def image_from_bytes(content: bytes, *, where: str) -> ImageFile:
    """Do what `read_image` does with the content of a file; `where` names it in errors."""
    picture = open_picture(content, where=where)
    _check_picture(picture, content=content, where=where)
    is_turned = _is_turned(picture, where=where)
    keeps_bytes = (
        picture.format in {"PNG", "JPEG"}
        and picture.mode in {"L", "RGB"}
        and "transparency" not in picture.info
        and not is_turned
    )
    if keeps_bytes:
        encoded = _clean(content, is_png=picture.format == "PNG")
        return ImageFile(pixels=np.asarray(picture), encoded=encoded, intensity_window=None)
    upright = ImageOps.exif_transpose(picture) if is_turned else picture
    window = None
    if upright.mode in _DEEP_MODES:
        pixels, window = window_to_8_bits(np.asarray(upright))
        upright = Image.fromarray(pixels)
    pixels = np.asarray(_as_grey_or_rgb(upright))
    return ImageFile(pixels=pixels, encoded=encode_png(pixels), intensity_window=window)


def image_from_array(
    pixels: np.ndarray, *, intensity_window: tuple[float, float] | None = None
) -> ImageFile:
    """Return 8-bit pixels, (row column) or (row column 3), as if they had come from a PNG file."""
    pixels = np.ascontiguousarray(pixels)
    return ImageFile(pixels=pixels, encoded=encode_png(pixels), intensity_window=intensity_window)


def read_label(path: Path) -> np.ndarray:
    """Read a mask file's values as they are: palette indices, bits, or grey values (row column).

    Raises:
        ValueError: The file is missing, is no picture, or has colours instead of values.
    """
    return label_from_bytes(_read_bytes(path), where=str(path))


def label_from_bytes(content: bytes, *, where: str) -> np.ndarray:
    """Do what `read_label` does with the content of a file; `where` names it in errors."""
    picture = open_picture(content, where=where)
    values = np.asarray(picture)
    if picture.mode in {"RGB", "RGBA", "LA"}:
        channels = values[..., : 1 if picture.mode == "LA" else 3]
        if not (channels == channels[..., :1]).all():
            raise ValueError(
                f"{where}: the mask is a colour picture ({picture.mode}); expected index values, "
                "a palette, or one bit. Save it with one value per class."
            )
        values = channels[..., 0]
    elif picture.mode not in {"1", "L", "P", "I", "I;16", "I;16B"}:
        raise ValueError(
            f"{where}: a mask of mode {picture.mode} holds no class values; expected an 8-bit or "
            "1-bit picture. Save it as an index PNG."
        )
    return values.astype(np.int32)


def window_to_8_bits(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Map the 0.5th percentile to 0 and the 99.5th to 255, linearly; return pixels and window.

    Values that are not finite become 0 and do not take part in the percentiles. A picture of one
    value becomes black.
    """
    finite = np.isfinite(values)
    low, high = (0.0, 0.0)
    if finite.any():
        low, high = (float(edge) for edge in np.percentile(values[finite], WINDOW_PERCENTILES))
    scaled = (np.where(finite, values, low).astype(np.float64) - low) / max(high - low, 1e-300)
    if high <= low:
        scaled = np.zeros(values.shape)
    return np.rint(np.clip(scaled, 0.0, 1.0) * 255.0).astype(np.uint8), (low, high)


def encode_png(pixels: np.ndarray) -> EncodedImage:
    """Return a PNG of 8-bit pixels, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return EncodedImage(content=buffer.getvalue(), extension="png")


def decode_image(
    content: bytes,
    *,
    where: str,
    size: tuple[int, int] | None = None,
    max_pixels: int | None = None,
) -> np.ndarray:
    """Return the pixels of a stored picture: uint8, (row column) or (row column 3).

    Args:
        content: The whole file.
        where: Name for messages.
        size: Rows and columns that it must have, where they are known; told before it is unpacked.
        max_pixels: That it may have at most, where no more than that is known.
    """
    picture = open_picture(content, where=where, size=size, max_pixels=max_pixels)
    if picture.mode not in {"L", "RGB"}:
        raise ValueError(
            f"{where}: the stored picture has mode {picture.mode}, shards hold 8-bit grey or RGB. "
            "Build the shard again."
        )
    return np.asarray(picture)


def open_picture(
    content: bytes,
    *,
    where: str,
    size: tuple[int, int] | None = None,
    max_pixels: int | None = None,
) -> Image.Image:
    """Decode a picture file; whatever is wrong with it becomes a `ValueError` that names it.

    One that says to have other rows and columns than `size`, or more pixels than `max_pixels`, is
    not unpacked: that may be a trap.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content))
            _check_size(picture, size=size, max_pixels=max_pixels)
            picture.load()
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        is_strange = isinstance(error, UnidentifiedImageError)  # it names the buffer, not the file
        reason = "it is of no kind that is known" if is_strange else error
        raise ValueError(
            f"{where}: cannot be decoded as a picture ({reason}). Fetch the file again from its "
            "source, or take it out of the list."
        ) from error
    return picture


def _check_size(
    picture: Image.Image, *, size: tuple[int, int] | None, max_pixels: int | None
) -> None:
    said = f"it says that it has {picture.height} x {picture.width} pixels"
    if size is not None and (picture.height, picture.width) != size:
        raise ValueError(f"{said}, its masks have {size[0]} x {size[1]}")
    if max_pixels is not None and picture.height * picture.width > max_pixels:
        raise ValueError(f"{said}, its origin allows {max_pixels} in all")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}). Restore the file.") from error


def _is_turned(picture: Image.Image, *, where: str) -> bool:
    try:
        return picture.getexif().get(_ORIENTATION_TAG, 1) != 1
    except Exception as error:  # damaged tags fail in many ways, SyntaxError among them
        raise ValueError(
            f"{where}: its EXIF tags are damaged ({error}), so which side is up is not known. "
            "Save the picture upright and without them."
        ) from error


def _check_picture(picture: Image.Image, *, content: bytes, where: str) -> None:
    columns, rows = picture.size
    if min(rows, columns) < MIN_SIDE_PIXELS:
        raise ValueError(
            f"{where}: the picture has {rows} x {columns} pixels; expected at least "
            f"{MIN_SIDE_PIXELS} on each side. Take it out of the list."
        )
    if getattr(picture, "n_frames", 1) > 1:
        raise ValueError(
            f"{where}: the file holds several pictures; expected one. Save each frame as its own."
        )
    bits = content[24] if content[:8] == _PNG_SIGNATURE else 8
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits = max(picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    if bits > 8 and picture.mode not in _DEEP_MODES:
        raise ValueError(
            f"{where}: a {bits}-bit picture with colour or alpha channels is not supported; "
            "expected 16-bit grey, or 8 bits. Convert it."
        )


def _as_grey_or_rgb(picture: Image.Image) -> Image.Image:
    """Resolve palettes and bits, and lay see-through parts on black."""
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode in {"L", "RGB"} and "transparency" not in picture.info:
        return picture
    layered = picture.convert("RGBA")
    black = Image.new("RGBA", layered.size, (0, 0, 0, 255))
    flat = Image.alpha_composite(black, layered).convert("RGB")
    pixels = np.asarray(flat)
    is_grey = (pixels == pixels[..., :1]).all()
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0])) if is_grey else flat


def _clean(content: bytes, *, is_png: bool) -> EncodedImage:
    if is_png:
        kept = b"".join([_PNG_SIGNATURE, *_png_chunks_of_pixels(content)])
        return EncodedImage(content=kept, extension="png")
    return EncodedImage(content=b"".join(_jpeg_parts_of_pixels(content)), extension="jpg")


def _png_chunks_of_pixels(content: bytes) -> Iterator[bytes]:
    """Yield the chunks that hold pixels; text, time, EXIF and whatever follows the end stay out."""
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if kind in _PNG_CHUNKS_OF_PIXELS:
            yield content[position:end]
        if kind == b"IEND":
            return
        position = end


def _jpeg_parts_of_pixels(content: bytes) -> Iterator[bytes]:
    """Yield the segments that hold pixels; EXIF, comments and whatever follows the end stay out.

    Of the application segments JFIF (APP0) and Adobe (APP14) stay: they say what the colours are.
    """
    yield content[:2]
    position = 2
    while position + 4 <= len(content):
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte before a marker
            position += 1
            continue
        if marker == 0xD9:
            break
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == 0xDA:
            end = _end_of_scan(content, start=end)
        is_comment = marker == 0xFE
        is_application = 0xE0 <= marker <= 0xEF and marker not in {0xE0, 0xEE}
        if not is_comment and not is_application:
            yield content[position:end]
        position = end
    yield b"\xff\xd9"


def _end_of_scan(content: bytes, *, start: int) -> int:
    """Return where the next marker stands that is neither a stuffed byte nor a restart."""
    position = start
    while (position := content.find(b"\xff", position)) >= 0 and position + 1 < len(content):
        following = content[position + 1]
        if following not in {0x00, 0xFF} and not 0xD0 <= following <= 0xD7:
            return position
        position += 1
    return len(content)
