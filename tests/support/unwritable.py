"""Places that cannot be written: a disk without room, a folder of somebody else."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65_534


@contextlib.contextmanager
def full_disk(*, num_bytes: int = 0) -> Iterator[None]:
    """Let this process write no file beyond a size: the same write fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def as_an_ordinary_user(*folders: Path) -> Iterator[None]:
    """Let the system's own permission checks apply to this process, also where it is root's.

    Args:
        folders: Of pytest, which closes its folders to others. They are opened, with all above
            them, and stay so: processes that test beside this one share those above.
    """
    if os.geteuid() != 0:
        yield
        return
    for place in {place for one in folders for place in (one, *one.parents)}:
        mode = place.stat().st_mode
        if mode & 0o055 != 0o055:
            place.chmod(mode | 0o055)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
