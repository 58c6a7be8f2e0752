"""DICOM files: what a header tells of an ultrasound image, and frames decoded one by one."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from shards.image_file import window_to_8_bits

from .raw_files import RawFile

_MAGIC = slice(128, 132)
_TAGS = (
    "SOPInstanceUID SOPClassUID StudyInstanceUID PatientID Modality NumberOfFrames Rows Columns "
    "SequenceOfUltrasoundRegions PixelSpacing"
)
_TWO_DIMENSIONAL = 1
_CENTIMETRES = 3
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
UNREADABLE = (
    AttributeError, EOFError, IndexError, KeyError, NotImplementedError, OSError, RuntimeError,
    TypeError, ValueError, struct.error,
)  # fmt: skip
"""What pydicom raises on files that are damaged, or compressed in a way nothing here decodes."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where an image shows tissue: first row and column, and those after the last."""

    top: int
    left: int
    bottom: int
    right: int
    spacing_millimetres: tuple[float, float] | None = None
    """Along rows and along columns, as the machine states it."""


@dataclass(frozen=True, kw_only=True)
class DicomHeader:
    """What is needed of a file's header; it names a patient, so it goes nowhere as it is."""

    file: RawFile
    instance: str
    study: str
    patient: str
    """Empty where the file has none."""

    modality: str
    is_segmentation: bool
    num_frames: int
    """0 for a file without an image."""

    size: tuple[int, int]
    """Rows and columns."""

    regions: tuple[Region, ...]
    """Those that show a two-dimensional image: no traces over time, no spectra."""

    spacing_millimetres: tuple[float, float] | None
    """Of the whole image, where the file has one."""

    @property
    def regions_fit(self) -> bool:
        """Whether all regions lie in the image; after it was resized they do not."""
        rows, columns = self.size
        return all(one.bottom <= rows + 1 and one.right <= columns + 1 for one in self.regions)


def is_dicom(file: RawFile) -> bool:
    """Say whether a file begins as DICOM files do, whatever it is called."""
    with file.on_disk() as path, path.open("rb") as stream:
        return stream.read(_MAGIC.stop)[_MAGIC] == b"DICM"


def read_dicom_header(file: RawFile) -> DicomHeader:
    """Read a header without the pixels.

    Raises:
        ValueError: It is damaged, or pydicom is not installed.
    """
    pydicom = import_pydicom(file)
    try:
        with file.on_disk() as path:
            fields = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS.split())
        has_image = "Rows" in fields and "Columns" in fields
        spacing = [float(step) for step in fields.get("PixelSpacing") or ()]
        return DicomHeader(
            file=file,
            instance=str(fields.SOPInstanceUID),
            study=str(fields.get("StudyInstanceUID") or ""),
            patient=str(fields.get("PatientID") or "").strip(),
            modality=str(fields.get("Modality", "")),
            is_segmentation=str(fields.get("SOPClassUID", "")) == _SEGMENTATION,
            num_frames=int(fields.get("NumberOfFrames") or 1) if has_image else 0,
            size=(int(fields.get("Rows") or 0), int(fields.get("Columns") or 0)),
            regions=tuple(
                _region(item)
                for item in fields.get("SequenceOfUltrasoundRegions") or ()
                if item.get("RegionSpatialFormat") == _TWO_DIMENSIONAL
            ),
            spacing_millimetres=(spacing[0], spacing[1]) if len(spacing) == 2 else None,
        )
    except UNREADABLE as error:
        raise unreadable(file, error=error) from error


def read_dicom_frame(file: RawFile, *, frame: int) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Return one frame, from 0, as uint8 (row column) or (row column 3), and its window.

    Colours of JPEG files become red, green and blue; palettes are resolved; inverted grey is
    turned; three equal channels become one. More than 8 bits are brought to 8 by the percentiles.

    Raises:
        ValueError: It is damaged, or its compression needs a package that is not there.
    """
    pydicom = import_pydicom(file)
    from pydicom.pixels import apply_color_lut, pixel_array  # noqa: PLC0415

    fields = pydicom.Dataset()
    try:
        with file.on_disk() as path:
            pixels = pixel_array(path, index=frame, ds_out=fields)
        bits = int(fields.BitsStored)
        photometric = fields.PhotometricInterpretation
        if photometric == "PALETTE COLOR":
            pixels, bits = apply_color_lut(pixels, fields), 8
            if pixels.dtype == np.uint16:
                pixels = pixels >> 8
    except UNREADABLE as error:
        raise unreadable(file, error=error) from error
    window = None
    if bits > 8 or np.issubdtype(pixels.dtype, np.signedinteger):
        pixels, window = window_to_8_bits(pixels)
    pixels = pixels.astype(np.uint8)
    if photometric == "MONOCHROME1":
        pixels = 255 - pixels
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels[..., :3] if pixels.ndim == 3 else pixels), window


def import_pydicom(file: RawFile) -> Any:  # noqa: ANN401 -- the module
    """Return the package.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import pydicom  # noqa: PLC0415 -- of the extra `formats`
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{file}: DICOM files need the package pydicom. Install the extra: "
            "pip install -e '.[formats]'."
        ) from error
    return pydicom


def unreadable(file: RawFile, *, error: Exception) -> ValueError:
    """Return the error that names the file, with what pydicom said."""
    reason = " ".join(str(error).split())
    return ValueError(
        f"{file}: cannot be read as DICOM ({reason}). Export the file again; where a compression "
        "is not supported, install what the message names, or export it uncompressed."
    )


def _region(item: Any) -> Region:  # noqa: ANN401 -- a pydicom data set
    units = (item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection"))
    across, down = (abs(float(item.get(f"PhysicalDelta{axis}") or 0)) for axis in "XY")
    is_length = units == (_CENTIMETRES, _CENTIMETRES) and across > 0 and down > 0
    return Region(
        top=int(item.RegionLocationMinY0),
        left=int(item.RegionLocationMinX0),
        bottom=int(item.RegionLocationMaxY1) + 1,
        right=int(item.RegionLocationMaxX1) + 1,
        spacing_millimetres=(10 * down, 10 * across) if is_length else None,
    )
