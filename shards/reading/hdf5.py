"""HDF5 files: named arrays whose first axis counts frames, read one frame at a time."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .raw_files import RawFile


@contextlib.contextmanager
def open_hdf5(file: RawFile, *, names: Sequence[str]) -> Iterator[Any]:
    """Open a file and check that it holds the arrays `names`, all of one length.

    Raises:
        ValueError: It is no HDF5 file, lacks an array, or their lengths differ.
    """
    try:
        import h5py  # noqa: PLC0415 -- of the extra `formats`
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{file}: HDF5 files need the package h5py. Install the extra: "
            "pip install -e '.[formats]'."
        ) from error
    with contextlib.ExitStack() as stack:
        try:
            opened: Any = stack.enter_context(h5py.File(stack.enter_context(file.on_disk()), "r"))
        except OSError as error:
            raise ValueError(
                f"{file}: cannot be opened as HDF5 ({error}). Fetch the file again."
            ) from error
        missing = [name for name in names if name not in opened]
        lengths = {name: len(opened[name]) for name in names if name in opened}
        if missing or len(set(lengths.values())) != 1:
            raise ValueError(
                f"{file}: expected the arrays {', '.join(names)} of one length; found "
                f"{sorted(opened)} with lengths {lengths}. Fetch the file again."
            )
        yield opened


def hdf5_column(file: RawFile, *, name: str, names: Sequence[str]) -> np.ndarray:
    """Return a whole array; for those that hold one number or text a frame."""
    with open_hdf5(file, names=names) as opened:
        values = opened[name][()]
    if values.dtype.kind in "OS":
        return np.array([_text(value) for value in values])
    return values


def hdf5_frame(file: RawFile, *, name: str, index: int, names: Sequence[str]) -> np.ndarray:
    """Return one frame of an array."""
    with open_hdf5(file, names=names) as opened:
        return np.asarray(opened[name][index])


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
