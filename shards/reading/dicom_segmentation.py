"""DICOM segmentations: which frame of which image each of their frames outlines."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shards.build_report import InputError

from .dicom import UNREADABLE, import_pydicom, unreadable
from .raw_files import RawFile


@dataclass(frozen=True, kw_only=True)
class SegmentFrame:
    """One frame of a segmentation: the mask of one segment on one frame of an image."""

    file: RawFile
    frame: int
    label: str
    """Of the segment, as the file names it."""

    segment: int
    instance: str
    """SOP Instance UID of the image."""

    image_frames: tuple[int, ...] | None
    """Frames of the image, from 0; None where the file names none, as for a single image."""

    half: float
    """Value from which a pixel is of the segment: 1, or half of the highest of a fraction."""


def read_segmentation(file: RawFile) -> list[SegmentFrame]:
    """Read what the frames of a segmentation are, without decoding one.

    Raises:
        ValueError: It is damaged, or of a type that is not read.
    """
    pydicom = import_pydicom(file)
    try:
        with file.on_disk() as path:
            fields = pydicom.dcmread(path, stop_before_pixels=True)
        kind = str(fields.SegmentationType)
        if kind not in {"BINARY", "FRACTIONAL"}:
            raise InputError(
                "unreadable or unsupported file",
                f"{file}: is a segmentation of type {kind}; expected BINARY or FRACTIONAL. Export "
                "it as one of these.",
            )
        labels = {int(one.SegmentNumber): str(one.SegmentLabel) for one in fields.SegmentSequence}
        half = 1.0 if kind == "BINARY" else int(fields.MaximumFractionalValue) / 2
        shared = fields.SharedFunctionalGroupsSequence[0]
        found = []
        for frame, groups in enumerate(fields.PerFrameFunctionalGroupsSequence):
            source = _group(groups, shared, name="DerivationImageSequence").SourceImageSequence[0]
            segment = int(
                _group(groups, shared, name="SegmentIdentificationSequence").ReferencedSegmentNumber
            )
            found.append(
                SegmentFrame(
                    file=file,
                    frame=frame,
                    label=labels[segment],
                    segment=segment,
                    instance=str(source.ReferencedSOPInstanceUID),
                    image_frames=_frame_numbers(source.get("ReferencedFrameNumber")),
                    half=half,
                )
            )
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise unreadable(file, error=error) from error
    return found


def read_segment(segment: SegmentFrame) -> np.ndarray:
    """Return the mask of one frame of a segmentation: bool (row column).

    Raises:
        ValueError: It is damaged.
    """
    import_pydicom(segment.file)
    from pydicom.pixels import pixel_array  # noqa: PLC0415

    try:
        with segment.file.on_disk() as path:
            return pixel_array(path, index=segment.frame) >= segment.half
    except UNREADABLE as error:
        raise unreadable(segment.file, error=error) from error


def _group(groups: Any, shared: Any, *, name: str) -> Any:  # noqa: ANN401 -- pydicom data sets
    """Return the first item of a sequence, of the frame itself or of all frames alike."""
    items = groups.get(name) or shared.get(name)
    if not items:
        raise KeyError(f"a frame has no {name}")
    return items[0]


def _frame_numbers(value: Any) -> tuple[int, ...] | None:  # noqa: ANN401 -- one number or several
    if value is None:
        return None
    numbers = [value] if isinstance(value, (int, str)) else list(value)
    return tuple(int(number) - 1 for number in numbers)
