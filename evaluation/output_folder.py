"""Whether the folder that a command is to fill can be written, before anything is computed."""

import tempfile
from pathlib import Path

ROOM_BYTES = 1_000_000
"""Written for trial: about what a report takes. A disk may take empty files and no more."""


def check_writable(folder: Path) -> None:
    """Raise if files cannot be written to a folder, be it there or yet to be made.

    Raises:
        OSError: The place is read-only or full, or a file is in its way.
    """
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=nearest) as trial:
            trial.write(bytes(ROOM_BYTES))
            trial.flush()
    except OSError as error:
        raise OSError(
            f"output={folder}: nothing can be written there ({error.strerror}). Choose another "
            "folder."
        ) from error
