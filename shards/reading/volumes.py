"""NIfTI and MetaImage files: volumes and series of frames, through SimpleITK.

Axis names used in this file:
    frame   the last axis as stored (z), or time
    row     image rows
    column  image columns
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from shards.image_file import window_to_8_bits

from .raw_files import RawFile

VOLUME_SUFFIXES = frozenset({".nii", ".nii.gz", ".mha", ".mhd"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """An image file of two to four dimensions."""

    values: np.ndarray
    """As stored, axes from slowest to fastest: (frame row column), or with more in front."""

    spacing_millimetres: tuple[float, ...] | None
    """Along the axes of `values`; None where the file leaves them at 1, which is what is written
    when nobody set them."""

    def as_8_bits(self) -> tuple[np.ndarray, tuple[float, float] | None]:
        """Return uint8 values and the window that made them, one for all frames alike.

        Whole numbers from 0 to 255 stay as they are.
        """
        return self._eight_bits

    @functools.cached_property
    def _eight_bits(self) -> tuple[np.ndarray, tuple[float, float] | None]:
        return _to_8_bits(self.values)  # once, since each frame asks for it


def num_frames_of(file: RawFile, *, axis: int = 2) -> int:
    """Return the number of frames from the header alone; a single image has one.

    Args:
        file: The volume.
        axis: Along which to count, in the order of the header: 2 is that of `Volume`'s frames.

    Raises:
        ValueError: The file cannot be read.
    """
    reader = _simple_itk(file).ImageFileReader()
    with file.on_disk() as path:
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise _unreadable(file, error=error) from error
    size = reader.GetSize()
    return int(size[axis]) if len(size) > axis else 1


@functools.lru_cache(maxsize=2)
def read_volume(file: RawFile) -> Volume:
    """Read a whole file; the last two, a volume and its mask, are kept for their next frame.

    Raises:
        ValueError: The file cannot be read.
    """
    itk = _simple_itk(file)
    with file.on_disk() as path:
        try:
            image = itk.ReadImage(str(path))
        except RuntimeError as error:
            raise _unreadable(file, error=error) from error
    spacing = tuple(float(step) for step in reversed(image.GetSpacing()))
    values = itk.GetArrayFromImage(image)
    values.flags.writeable = False
    is_set = any(abs(step - 1.0) > 1e-9 for step in spacing)
    return Volume(values=values, spacing_millimetres=spacing if is_set else None)


def annotated_frames(file: RawFile, *, min_fraction: float = 0.0) -> tuple[int, ...]:
    """Return the frames (of the first axis) of a volume of classes that hold a class at all.

    Args:
        file: The mask volume; it is read whole, since nothing else tells.
        min_fraction: Share of a frame below which its marks count as stray pixels.
    """
    values = read_volume(file).values
    shares = (values != 0).reshape(len(values), -1).mean(axis=1)
    return tuple(int(frame) for frame in np.flatnonzero(shares > min_fraction))


def _to_8_bits(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float] | None]:
    if values.dtype == np.uint8:
        return values, None
    is_8_bits = values.min(initial=0) >= 0 and values.max(initial=0) <= 255
    if is_8_bits and (np.issubdtype(values.dtype, np.integer) or (values == values.round()).all()):
        return values.astype(np.uint8), None
    return window_to_8_bits(values)


def _simple_itk(file: RawFile) -> Any:  # noqa: ANN401 -- the module
    try:
        import SimpleITK  # noqa: PLC0415 -- of the extra `formats`
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{file}: NIfTI and MetaImage files need the package SimpleITK. Install the extra: "
            "pip install -e '.[formats]'."
        ) from error
    return SimpleITK


def _unreadable(file: RawFile, *, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines()[-1]
    return ValueError(f"{file}: cannot be read ({reason}). Fetch the file again from its source.")
