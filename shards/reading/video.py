"""Frames of a video, read forwards, one in memory at a time."""

import functools
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from .raw_files import RawFile

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mov", ".mkv", ".webm"})


class VideoFrames:
    """Decodes one video from the front; a frame before the last one starts it again."""

    def __init__(self, file: RawFile) -> None:
        """Take the file; nothing is decoded before a frame is asked for."""
        self._file = file
        self._frames: Iterator[np.ndarray] = iter(())
        self._num_decoded = 0
        self._last: np.ndarray | None = None

    def frame(self, index: int) -> np.ndarray:
        """Return a frame: uint8, (row column) where it is grey, else (row column 3).

        Raises:
            ValueError: The video cannot be decoded, ends before this frame, or `index` is below 0.
        """
        if index < 0:
            raise ValueError(
                f"{self._file}: frame {index} is annotated, but frames are counted from 0. Mend "
                "the row."
            )
        if self._last is None or index < self._num_decoded - 1:
            self._frames, self._num_decoded = decode_video(self._file), 0
        while self._num_decoded <= index:
            following = next(self._frames, None)
            if following is None:
                self._last = None
                raise ValueError(
                    f"{self._file}: ends after {self._num_decoded} frames, but frame {index} "
                    "(counted from 0) is annotated. Fetch the video again, or remove the row."
                )
            self._last = following
            self._num_decoded += 1
        assert self._last is not None
        is_grey = (self._last == self._last[..., :1]).all()
        return np.ascontiguousarray(self._last[..., 0]) if is_grey else self._last


@functools.lru_cache(maxsize=2)
def open_video(file: RawFile) -> VideoFrames:
    """Return the video's frames; the last ones opened are kept, with their place."""
    return VideoFrames(file)


def decode_video(file: RawFile) -> Iterator[np.ndarray]:
    """Yield the frames of a video in order, uint8 (row column 3).

    Raises:
        ValueError: The video cannot be decoded.
    """
    av = _av(file)
    refusals = (av.FFmpegError, IndexError)  # at the end of the process the module may be empty
    try:
        with av.open(io.BytesIO(file.read_bytes())) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except refusals as error:
        raise ValueError(
            f"{file}: cannot be decoded as a video ({error}). Fetch the file again."
        ) from error


def _av(file: RawFile) -> Any:  # noqa: ANN401 -- the module
    try:
        import av  # noqa: PLC0415 -- of the extra `formats`
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{file}: videos need the package av. Install the extra: pip install -e '.[formats]'."
        ) from error
    return av
