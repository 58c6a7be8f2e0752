"""Files and folders that appear whole or not at all, and why one could not be written."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a used-up quota, a limit on the size of files."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file or folder, which gets its name when the block has succeeded.

    What an earlier attempt left there is removed, and so is everything if the block fails.

    Args:
        path: The final name; a file of that name is replaced.

    Raises:
        OSError: The disk is full or the place is not writable; the message says what to do.
    """
    aside = path.with_name(f"{path.name}.partial")
    _remove(aside)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(path)
    except BaseException as error:
        _remove(aside)
        refusal = why_not_written(error)
        if refusal is None:
            raise
        reason, remedy = refusal
        raise OSError(
            f"{path}: could not be written: {reason}. {remedy}, or choose another place."
        ) from error


def why_not_written(error: BaseException) -> tuple[str, str] | None:
    """Return reason and remedy of an error that came while files were written.

    An error that has nothing to do with the place gives None.
    """
    if is_without_room(error):
        return "there is no room on the disk", "Make room"
    if isinstance(error, OSError | SafetensorError):
        return str(error), "Make the folder writable"
    return None


def is_without_room(error: BaseException) -> bool:
    """Tell whether an error came of a full disk.

    safetensors wraps the system's error in one of its own, and torch raises another one behind it.
    """
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
        error = error.__context__
    number_is_told = any(f"os error {number})" in str(error) for number in _NO_ROOM)
    return number_is_told or getattr(error, "errno", None) in _NO_ROOM


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
