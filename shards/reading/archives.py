"""Archives of raw datasets: what is in them, without trusting a name or a size that they state."""

import atexit
import errno
import functools
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".change2zip")
COPIED_SUFFIXES = (".hdf5", ".h5")
"""Opened anew for every frame, so they are copied out of a zip once, not read in place."""

MAX_DEPTH = 3
"""Archives inside archives; more is no dataset that is known."""

MAX_EXPANSION = 200
"""An archive may hold so many times its own size; pictures come nowhere near."""

ALWAYS_ALLOWED_BYTES = 2**30
_SEVEN_ZIP_SIGNATURE = b"7z\xbc\xaf\x27\x1c"
_DAMAGES = (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What a damaged or an encrypted member of a zip raises."""


@dataclass(frozen=True, kw_only=True)
class ArchiveEntry:
    """A file in an archive, and where its bytes can be had."""

    path: str
    location: Path
    member: str | None


def is_archive(path: Path) -> bool:
    """Say whether the name is that of an archive that can be opened."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


@functools.lru_cache(maxsize=256)
def list_archive(path: Path, *, stamp: str, depth: int = 1) -> tuple[ArchiveEntry, ...]:
    """List the files of an archive and of the archives in it.

    Args:
        path: The archive.
        stamp: Its size and time, so that a changed file is listed again.
        depth: How many archives it lies in, itself included.

    Raises:
        ValueError: It is damaged, encrypted or too deep, or a member points outside, is a link,
            or would grow beyond all measure.
    """
    if depth > MAX_DEPTH:
        raise ValueError(
            f"{path}: archives lie in each other {depth} deep; at most {MAX_DEPTH} are opened. "
            "Unpack it by hand if you trust it."
        )
    try:
        return tuple(_all_entries(path, stamp=stamp, depth=depth))
    except OSError as error:
        raise OSError(
            f"{path}: cannot be unpacked into {tempfile.gettempdir()} ({error}). Name a folder "
            "with more space in TMPDIR, or unpack the archive by hand."
        ) from error


def _all_entries(path: Path, *, stamp: str, depth: int) -> Iterator[ArchiveEntry]:
    for entry in map(_on_disk, _own_entries(path)):
        if not is_archive(Path(entry.path)):
            yield entry
            continue
        for below in list_archive(entry.location, stamp=stamp, depth=depth + 1):
            place = f"{entry.path}/{below.path}"
            yield ArchiveEntry(path=place, location=below.location, member=below.member)


def read_zip_member(path: Path, *, member: str, num_bytes: int = -1) -> bytes:
    """Return a member of a zip, or so many bytes of its beginning; -1 is all of it.

    Raises:
        ValueError: The zip or the member is damaged or encrypted.
    """
    try:
        with _open_zip(path).open(member) as stream:
            return stream.read(num_bytes)
    except (OSError, KeyError, *_DAMAGES) as error:
        raise _damaged(path, member=member, error=error) from error


def _open_zip(path: Path) -> zipfile.ZipFile:
    status = path.stat()
    return _keep_zip(path, version=(status.st_size, status.st_mtime_ns), process=os.getpid())


@functools.lru_cache(maxsize=8)
def _keep_zip(path: Path, *, version: tuple[int, int], process: int) -> zipfile.ZipFile:
    """Open a zip once in each process: a forked one must not share the place in the file."""
    del version, process
    return zipfile.ZipFile(path)


def _own_entries(path: Path) -> list[ArchiveEntry]:
    with path.open("rb") as stream:
        signature = stream.read(6)
    try:
        if signature == _SEVEN_ZIP_SIGNATURE:
            return _files_below(_unpack_seven_zip(path))
        if zipfile.is_zipfile(path):
            return _zip_entries(path)
        return _files_below(_unpack_tar(path))
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        raise ValueError(
            f"{path}: cannot be opened as an archive ({error}). Fetch it again from its source."
        ) from error


def _zip_entries(path: Path) -> list[ArchiveEntry]:
    infos = [info for info in _open_zip(path).infolist() if not info.is_dir()]
    num_bytes = 0
    for info in infos:
        _check_name(info.filename, archive=path)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _distrust(path, member=info.filename, what="is a link")
        num_bytes += info.file_size
        _check_growth(num_bytes, archive=path, member=info.filename)
    return [
        ArchiveEntry(path=str(PurePosixPath(name)), location=path, member=name)
        for name in (info.filename for info in infos)
    ]


def _unpack_tar(path: Path) -> Path:
    folder = _private_folder()
    num_bytes = 0
    with tarfile.open(path) as archive:
        for member in archive:
            _check_name(member.name, archive=path)
            if not (member.isfile() or member.isdir()):
                raise _distrust(path, member=member.name, what="is a link or a device")
            num_bytes += member.size
            _check_growth(num_bytes, archive=path, member=member.name)
            archive.extract(member, folder, filter="data")
    return folder


def _unpack_seven_zip(path: Path) -> Path:
    try:
        import py7zr.exceptions  # noqa: PLC0415 -- of the extra `formats`
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path}: 7z archives need the package py7zr. Install the extra: "
            "pip install -e '.[formats]', or unpack it by hand."
        ) from error
    folder, num_bytes = _private_folder(), 0
    try:
        with py7zr.SevenZipFile(path) as archive:
            for info in archive.list():
                _check_name(info.filename, archive=path)
                if info.is_symlink:
                    raise _distrust(path, member=info.filename, what="is a link")
                num_bytes += info.uncompressed or 0
                _check_growth(num_bytes, archive=path, member=info.filename)
            archive.extractall(folder)
    except (py7zr.exceptions.ArchiveError, lzma.LZMAError, struct.error) as error:
        raise OSError(str(error)) from error
    return folder


def _on_disk(entry: ArchiveEntry) -> ArchiveEntry:
    """Copy what lies in a zip and has to be a file of its own: archives, and `COPIED_SUFFIXES`."""
    is_own_file = entry.path.lower().endswith(ARCHIVE_SUFFIXES + COPIED_SUFFIXES)
    if entry.member is None or not is_own_file:
        return entry
    copy = _private_folder() / PurePosixPath(entry.path).name
    archive = _open_zip(entry.location)
    try:
        with archive.open(entry.member) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, length=2**20)
    except _DAMAGES as error:
        raise _damaged(entry.location, member=entry.member, error=error) from error
    return ArchiveEntry(path=entry.path, location=copy, member=None)


def _private_folder() -> Path:
    """Make a folder that only this user can enter and that goes with the process."""
    folder = tempfile.mkdtemp(prefix="samuspretrain-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _files_below(folder: Path) -> list[ArchiveEntry]:
    return [
        ArchiveEntry(path=path.relative_to(folder).as_posix(), location=path, member=None)
        for path in _walk_files(folder)
    ]


def _walk_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _check_name(name: str, *, archive: Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name.partition("/")[0]:
        raise _distrust(archive, member=name, what="points outside")


def _check_growth(num_bytes: int, *, archive: Path, member: str) -> None:
    bound = max(MAX_EXPANSION * archive.stat().st_size, ALWAYS_ALLOWED_BYTES)
    if num_bytes > bound:
        raise _distrust(
            archive,
            member=member,
            what=f"brings the unpacked size to {num_bytes} bytes, more than {bound}",
        )


def _damaged(archive: Path, *, member: str, error: Exception) -> ValueError:
    return ValueError(
        f"{archive}/{member}: cannot be read ({error}). Fetch the archive again from its source."
    )


def _distrust(archive: Path, *, member: str, what: str) -> ValueError:
    return ValueError(
        f"{archive}: the member {member!r} {what}. Nothing of it was read. Fetch the archive from "
        "its own source, or unpack it by hand if you trust it."
    )
