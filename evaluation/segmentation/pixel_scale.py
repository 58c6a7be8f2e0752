"""How large the pixels of a file are, and where: around an ultrasound region nobody says.

Axis names used in this file:
    row, column  of the image
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from shards import FrameFile

OUT_OF_REGIONS = (
    "reaches out of the ultrasound regions, and the file says how large a pixel is in them alone: "
    "measured in pixels"
)
_TWO_DIMENSIONAL = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelScale:
    """The size of the pixels of one file."""

    spacing_millimetres: tuple[float, float] | None
    """Between rows and between columns; None where it is not known."""

    area: Bool[np.ndarray, "row column"] | None = None
    """Where that holds; None for the whole image."""

    def under(self, mask: Bool[np.ndarray, "row column"]) -> tuple[float, float] | None:
        """Return the spacing of all pixels of a mask; None where it is not known for all."""
        return None if self.ends_before(mask) else self.spacing_millimetres

    def ends_before(self, mask: Bool[np.ndarray, "row column"]) -> bool:
        """Say whether the size of some pixels of a mask is known, and of others is not."""
        return self.area is not None and bool((mask & ~self.area).any())


def scale_of(path: Path, opened: FrameFile) -> PixelScale:
    """Return how large the pixels of an opened file are.

    A pixel spacing holds for the whole image, what an ultrasound region states within it.
    """
    spacing, size = opened.spacing_millimetres, opened.size
    if spacing is None or not opened.is_dicom or size is None:
        return PixelScale(spacing_millimetres=spacing)
    from pydicom import dcmread  # noqa: PLC0415 -- of the extra `formats`, which opened the file

    header = dcmread(
        path,
        stop_before_pixels=True,
        specific_tags=["PixelSpacing", "SequenceOfUltrasoundRegions"],
    )
    if header.get("PixelSpacing"):
        return PixelScale(spacing_millimetres=spacing)
    area = np.zeros(size, dtype=bool)
    for region in header.get("SequenceOfUltrasoundRegions") or ():
        if region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL:
            rows = slice(int(region.RegionLocationMinY0), int(region.RegionLocationMaxY1) + 1)
            columns = slice(int(region.RegionLocationMinX0), int(region.RegionLocationMaxX1) + 1)
            area[rows, columns] = True
    return PixelScale(spacing_millimetres=spacing, area=area)
