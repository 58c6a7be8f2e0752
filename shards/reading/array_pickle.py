"""Pickled numpy arrays, by an unpickler that makes arrays and nothing else."""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from .raw_files import RawFile

MAX_BYTES = 2**30
_ALLOWED = {
    ("multiarray", "_reconstruct"),
    ("multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
"""Last part of the module, and name: all that a pickle of arrays, dicts and texts calls for."""

_NUMPY_MODULES = {"numpy", "numpy.core", "numpy._core"}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return what rebuilds arrays; anything else could run code."""
        package, _, last = module.rpartition(".")
        is_numpy = module in _NUMPY_MODULES or package in _NUMPY_MODULES
        if (last, name) in _ALLOWED and (is_numpy or module == "_codecs"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")


def load_array_pickle(file: RawFile) -> Any:  # noqa: ANN401 -- a dict of arrays, as a rule
    """Return the object of an `.npy` file that holds a pickle: a zero-dimensional object array.

    Only arrays, and the dicts, lists, texts and numbers around them, are ever made from it.

    Raises:
        ValueError: It is no such file, too large, or asks for anything but arrays.
    """
    content = file.read_bytes()
    if len(content) > MAX_BYTES:
        raise ValueError(f"{file}: has {len(content)} bytes; at most {MAX_BYTES} are read.")
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
        if not dtype.hasobject:
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
        array = _ArrayUnpickler(stream).load()
    except Exception as error:  # damaged pickles fail in every way there is
        raise ValueError(
            f"{file}: is refused ({error}). Only numpy arrays and dicts of them are read from "
            "pickles, since anything else can run code. Fetch the file from its own source."
        ) from error
    if isinstance(array, np.ndarray) and array.shape == shape == ():
        return array.item()
    return array
