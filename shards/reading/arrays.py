"""Plain numpy files: arrays whose first axis counts frames."""

import functools
import io

import numpy as np

from .raw_files import RawFile


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
    """Return the length of the first axis.

    Raises:
        ValueError: As `read_array`, or the array has no axis.
    """
    array = read_array(file)
    if not array.ndim:
        raise ValueError(f"{file}: holds one value, not frames. Fetch the file again.")
    return len(array)
