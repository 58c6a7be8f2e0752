"""Plain numpy files: arrays whose first axis counts frames."""

import functools
import io

import numpy as np

from .raw_files import RawFile

MAX_HEADER_BYTES = 2**14
"""More than numpy itself reads of a header that nobody vouches for."""

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@functools.lru_cache(maxsize=2)
def read_array(file: RawFile) -> np.ndarray:
    """Read an `.npy` file whole; the last two are kept, an image array and its mask.

    Raises:
        ValueError: It is no such file, or holds objects.
    """
    try:
        array = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{file}: is no plain numpy array ({error}). Fetch the file again from its source."
        ) from error
    array.flags.writeable = False
    return array


def num_entries_of(file: RawFile) -> int:
    """Return the length of the first axis, from the header alone.

    Raises:
        ValueError: It is no such file, or the array has no axis.
    """
    stream = io.BytesIO(file.read_bytes(MAX_HEADER_BYTES))
    try:
        shape, _, _ = _READERS[np.lib.format.read_magic(stream)](stream)
    except Exception as error:  # damaged headers fail in every way there is
        raise ValueError(
            f"{file}: is no plain numpy array ({error}). Fetch the file again from its source."
        ) from error
    if not shape:
        raise ValueError(f"{file}: holds one value, not frames. Fetch the file again.")
    return int(shape[0])
