"""Rows and columns of a picture, from its header."""

import io

from PIL import Image

from .raw_files import RawFile


def picture_size(file: RawFile) -> tuple[int, int]:
    """Return rows and columns without decoding a pixel.

    Raises:
        ValueError: The file is no picture.
    """
    try:
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{file}: is no picture that can be opened ({error}). Fetch the file again."
        ) from error
