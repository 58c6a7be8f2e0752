"""Arrays of MATLAB files."""

import functools
import io
from typing import Any

import numpy as np

from .raw_files import RawFile


def matlab_shape(file: RawFile, *, name: str) -> tuple[int, ...]:
    """Return the shape of a three-dimensional array without keeping it.

    Raises:
        ValueError: The file is damaged, too new, or has no such array.
    """
    return _checked(_call("whosmat", file), file=file, name=name)


@functools.lru_cache(maxsize=2)
def matlab_array(file: RawFile, *, name: str) -> np.ndarray:
    """Return a three-dimensional array; the last few are kept, as frames are asked for in a row.

    Raises:
        ValueError: As `matlab_shape`.
    """
    found = _call("loadmat", file, variable_names=[name])
    arrays = [(key, np.shape(value), "") for key, value in found.items()]
    _checked(arrays, file=file, name=name)
    return np.asarray(found[name])


def _call(function: str, file: RawFile, **options: object) -> Any:  # noqa: ANN401 -- scipy's own
    from scipy import io as scipy_io  # noqa: PLC0415 -- readers of shards never need it

    try:
        return getattr(scipy_io, function)(io.BytesIO(file.read_bytes()), **options)
    except Exception as error:  # damaged files fail in every way there is
        raise ValueError(
            f"{file}: cannot be read as a MATLAB file ({error}). Fetch the file again."
        ) from error


def _checked(
    arrays: list[tuple[str, tuple[int, ...], str]], *, file: RawFile, name: str
) -> tuple[int, ...]:
    shapes = {key: shape for key, shape, _ in arrays}
    shape = shapes.get(name, ())
    if len(shape) != 3:
        raise ValueError(
            f"{file}: expected an array {name!r} of three axes (frames, rows, columns); found "
            f"{shapes}. Fetch the file again."
        )
    return shape
