"""One DICOM file or video, outside of any dataset: its frames, and how large a pixel is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from .reading import VIDEO_SUFFIXES, RawFile
from .reading.dicom import DicomHeader, is_dicom, read_dicom_frame, read_dicom_header
from .reading.video import decode_video


@dataclass(frozen=True, kw_only=True)
class FrameFile:
    """A file that may hold many frames; they are decoded one by one, as they are asked for."""

    frames: Iterator[np.ndarray]
    """uint8, (row column) or (row column 3)."""

    is_dicom: bool
    num_frames: int | None
    """None for a video, which tells only when it ends."""

    size: tuple[int, int] | None
    """Rows and columns, as a DICOM header has them before anything is decoded."""

    spacing_millimetres: tuple[float, float] | None
    """Between rows and between columns; None where the file does not say, or not clearly."""


def is_frame_file(path: Path) -> bool:
    """Say whether `open_frame_file` reads this file: it is DICOM by content or a video by name."""
    return path.suffix.lower() in VIDEO_SUFFIXES or is_dicom(_raw_file(path))


def open_frame_file(path: Path) -> FrameFile:
    """Open a DICOM file or a video.

    Raises:
        ValueError: It is damaged, holds no image, or a package to decode it is not installed.
    """
    file = _raw_file(path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        frames = (_grey_if_it_is(frame) for frame in decode_video(file))
        return FrameFile(
            frames=frames, is_dicom=False, num_frames=None, size=None, spacing_millimetres=None
        )
    header = read_dicom_header(file)
    if header.num_frames == 0:
        raise ValueError(
            f"{path}: the DICOM file holds no image (modality {header.modality or 'not given'}). "
            "Give one that does."
        )
    return FrameFile(
        frames=(read_dicom_frame(file, frame=index)[0] for index in range(header.num_frames)),
        is_dicom=True,
        num_frames=header.num_frames,
        size=header.size,
        spacing_millimetres=_spacing_of(header),
    )


def _spacing_of(header: DicomHeader) -> tuple[float, float] | None:
    """Return the spacing of all pixels: regions of two scales, or a resized image, have none."""
    if header.spacing_millimetres is not None:
        return header.spacing_millimetres
    spacings = {region.spacing_millimetres for region in header.regions}
    return spacings.pop() if len(spacings) == 1 and header.regions_fit else None


def _grey_if_it_is(frame: np.ndarray) -> np.ndarray:
    is_grey = (frame == frame[..., :1]).all()
    return np.ascontiguousarray(frame[..., 0]) if is_grey else frame


def _raw_file(path: Path) -> RawFile:
    return RawFile(path=PurePosixPath(path.name), location=path, stamp="")
