"""The files that a prediction is asked for, and their frames, whatever kind of file they are."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from evaluation.deployable.predict import read_image
from shards import FrameFile, is_frame_file, open_frame_file

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, kw_only=True)
class FileToSegment:
    """One file, and what its results are called."""

    path: Path
    name: str
    """Below the folder that was given, with slashes."""

    stem: str
    """Its results begin like this, below the output folder."""


def find_files(image: Path, *, output: Path) -> list[FileToSegment]:
    """Return the file, or all pictures, DICOM files and videos below the folder, sorted by name.

    Results of earlier predictions, that is the files below `output`, are left out, and so are
    hidden files.

    Raises:
        FileNotFoundError: There is no such file, or nothing to segment in the folder.
    """
    if image.is_file():
        return [FileToSegment(path=image, name=image.name, stem=image.stem)]
    if not image.is_dir():
        raise FileNotFoundError(f"image={image}: there is no such image file, or folder of them.")
    found = [path for path in sorted(image.rglob("*")) if _is_wanted(path, output=output)]
    if not found:
        raise FileNotFoundError(
            f"image={image}: there is no picture, DICOM file or video in this folder. Pictures end "
            f"in {', '.join(sorted(PICTURE_SUFFIXES))}."
        )
    names = [path.relative_to(image) for path in found]
    uses = Counter(name.with_suffix("") for name in names)
    return [
        FileToSegment(
            path=path,
            name=name.as_posix(),
            # `scan.png` and `scan.dcm` side by side keep their endings, so that both have results.
            stem=(name if uses[name.with_suffix("")] > 1 else name.with_suffix("")).as_posix(),
        )
        for path, name in zip(found, names, strict=True)
    ]


def open_frames(path: Path) -> FrameFile:
    """Open a picture, a DICOM file or a video.

    Raises:
        ValueError, OSError: It is none of these, or damaged.
    """
    if is_frame_file(path):
        return open_frame_file(path)
    pixels = read_image(path)
    size = (pixels.shape[0], pixels.shape[1])
    return FrameFile(
        frames=iter([pixels]), is_dicom=False, num_frames=1, size=size, spacing_millimetres=None
    )


def _is_wanted(path: Path, *, output: Path) -> bool:
    is_result = output.resolve() in path.resolve().parents
    if is_result or path.name.startswith(".") or not path.is_file():
        return False
    return path.suffix.lower() in PICTURE_SUFFIXES or is_frame_file(path)
