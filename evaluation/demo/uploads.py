"""What is known of an upload before it is decoded: that it is small enough, and of a known kind."""

import io
from pathlib import Path
from typing import Any

from PIL import Image

from shards import is_frame_file, open_frame_file

MAX_UPLOAD_BYTES = 64 * 2**20
MAX_PIXELS = 25_000_000

PICTURE_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
"""Only these decoders of Pillow see what was uploaded."""

FRAME_FORMATS = ("JPEG", "JPEG2000")
"""Of compressed frames of DICOM files: what Pillow tells the size of without decoding it."""

MOST_RUN_LENGTH_BYTES = 1.1
"""Of a compressed frame, for each byte of the picture: runs make noise longer by less than that."""


def check_upload(content: bytes, *, path: Path) -> None:
    """Raise for what is too large or of another kind, before it is decoded.

    Args:
        content: The file.
        path: Where it lies; its name has no ending.

    Raises:
        ValueError: It is too large, no image, or compressed so that its size cannot be told.
    """
    if is_frame_file(path):
        _check_dicom(path)
        return
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            columns, rows = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            "The file cannot be read as an image. PNG, JPEG, TIFF, BMP and DICOM are read."
        ) from error
    _check_size(rows, columns)


def _check_dicom(path: Path) -> None:
    _check_compression(path)
    opened = open_frame_file(path)
    if opened.num_frames != 1:
        raise ValueError(
            f"The file holds {opened.num_frames} frames; the demo shows files of one frame. "
            "Use launchers/predict.py for clips."
        )
    rows, columns = opened.size or (0, 0)
    _check_size(rows, columns)
    _check_frame(path, size=(rows, columns))


def _check_size(rows: int, columns: int) -> None:
    if rows * columns > MAX_PIXELS:
        raise ValueError(
            f"The image has {columns} x {rows} pixels; the demo takes up to "
            f"{MAX_PIXELS // 1_000_000} million. Crop it or scale it down."
        )


def _check_compression(path: Path) -> None:
    """Refuse what is compressed as a whole: its header alone inflates it, to whatever size."""
    try:
        from pydicom import uid  # noqa: PLC0415 -- of the extra `formats`
        from pydicom.filereader import read_file_meta_info  # noqa: PLC0415
    except ModuleNotFoundError:
        return  # whoever opens it says what is missing
    try:
        syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    except Exception as error:  # pydicom's errors share no class but this
        raise ValueError(f"{path}: cannot be read as DICOM ({error}). Export it again.") from error
    plain = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
    taken = {*plain, uid.RLELossless, *uid.JPEGTransferSyntaxes, *uid.JPEG2000TransferSyntaxes}
    if syntax is not None and syntax not in taken:
        raise ValueError(
            f"The file is compressed as {syntax.name}; the demo takes DICOM that is uncompressed, "
            "or JPEG, JPEG 2000 or RLE. Export it again, or use launchers/predict.py."
        )


def _check_frame(path: Path, *, size: tuple[int, int]) -> None:
    """Refuse a compressed frame that holds more than its header says."""
    from pydicom import dcmread, uid  # noqa: PLC0415 -- of the extra `formats`
    from pydicom.encaps import get_frame  # noqa: PLC0415

    fields = dcmread(path)
    syntax = fields.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_compressed:
        return
    try:
        frame = get_frame(fields.PixelData, 0, number_of_frames=1)
        is_fitting = (
            len(frame) <= _most_run_length_bytes(fields)
            if syntax == uid.RLELossless
            else _size_of(frame) == size
        )
    except Exception as error:  # pydicom's and Pillow's errors share no class but this
        raise ValueError(
            f"{path}: cannot be read as DICOM: its frame's size cannot be told ({error}). Export "
            "it uncompressed."
        ) from error
    if not is_fitting:
        raise ValueError(
            f"{path}: the compressed frame does not hold the {size[1]} x {size[0]} pixels that the "
            "header states. Export it again."
        )


def _size_of(frame: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(frame), formats=FRAME_FORMATS) as picture:
        return picture.height, picture.width


def _most_run_length_bytes(fields: Any) -> float:  # noqa: ANN401 -- a pydicom data set
    num_bytes = fields.Rows * fields.Columns * fields.SamplesPerPixel * fields.BitsAllocated / 8
    return 64 + 2 * fields.Rows * fields.SamplesPerPixel + MOST_RUN_LENGTH_BYTES * num_bytes
