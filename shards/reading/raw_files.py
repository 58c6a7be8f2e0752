"""A raw dataset as a list of files, whether they lie in folders or in archives.

An archive counts as a folder of its own name: `AUL.zip/Benign.zip/Benign/image/194.jpg`. A zip is
read in place; archives inside archives, tar, 7z, and HDF5 in a zip are unpacked into a private
temporary folder.
"""

import contextlib
import functools
import os
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shards.build_report import BuildReport

from .archives import is_archive, list_archive, read_zip_member

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
IGNORED_FOLDER = "__MACOSX"


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """A file of a raw dataset, on disk or in a zip; it can be sent to another process."""

    path: PurePosixPath
    """Below the root of the dataset."""

    location: Path
    """The file itself, or the zip that holds it."""

    member: str | None = None
    """Its name in the zip; None for a file on disk."""

    stamp: str
    """Changes when the file changes: size and time, of the archive where it lies in one."""

    def __str__(self) -> str:
        """Return the file as messages name it."""
        return str(self.location) if self.member is None else f"{self.location}/{self.member}"

    @property
    def name(self) -> str:
        """Return the name without folders."""
        return self.path.name

    @property
    def folder(self) -> str:
        """Return the name of the folder that the file lies in."""
        return self.path.parent.name

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the folders above the file, outermost first; archives are among them."""
        return self.path.parts[:-1]

    @property
    def suffix(self) -> str:
        """Return the extension in lower case; `.nii.gz` is one."""
        return ".nii.gz" if self.name.lower().endswith(".nii.gz") else self.path.suffix.lower()

    @property
    def stem(self) -> str:
        """Return the name without its extension."""
        return self.name[: len(self.name) - len(self.suffix)]

    def read_bytes(self, num_bytes: int = -1) -> bytes:
        """Return the content.

        Args:
            num_bytes: So many from its beginning; -1 is all of it.

        Raises:
            ValueError: The file cannot be read.
        """
        if self.member is not None:
            return read_zip_member(self.location, member=self.member, num_bytes=num_bytes)
        try:
            with self.location.open("rb") as stream:
                return stream.read(num_bytes)
        except OSError as error:
            raise ValueError(
                f"{self}: cannot be read ({error.strerror}). Restore the file."
            ) from error

    @contextlib.contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Give a path for readers that take nothing else; a zip's member is copied for as long."""
        if self.member is None:
            yield self.location
            return
        with tempfile.TemporaryDirectory(prefix="samuspretrain-") as folder:
            copy = Path(folder) / self.name
            copy.write_bytes(self.read_bytes())
            yield copy


@dataclass(frozen=True, kw_only=True)
class RawTree:
    """All files of a raw dataset, sorted by path; hidden ones are not among them."""

    root: Path
    files: tuple[RawFile, ...]

    @functools.cached_property
    def is_archive(self) -> bool:
        """Whether `root` itself is an archive, whose name then begins every path."""
        return self.root.is_file()

    def select(
        self, suffixes: Collection[str], *, within: str | None = None, outside: str | None = None
    ) -> list[RawFile]:
        """Return files by extension, and by the folders above them.

        Args:
            suffixes: In lower case, as `.png`; the case of a file's own extension does not matter.
            within: A folder of exactly this name is above the file.
            outside: No folder of this name is above the file.
        """
        return [
            file
            for file in self.files
            if file.suffix in suffixes
            and (within is None or within in file.folders)
            and (outside is None or outside not in file.folders)
        ]


def open_tree(root: Path, *, report: BuildReport) -> RawTree:
    """List the files of a folder or an archive; archives in it are opened as well.

    Raises:
        ValueError: There is nothing at `root`, or an archive is damaged or not to be trusted.
    """
    if not root.exists():
        raise ValueError(
            f"root={root}: there is no such folder or archive. Give the place of the raw data."
        )
    found = _walk(root) if root.is_dir() else _files_of(root, path=PurePosixPath(root.name))
    files = sorted(found, key=lambda file: str(file.path))
    for file in files:
        if file.suffix == ".rar":
            report.hint(f"{file}: rar archives are not opened. Unpack it by hand, here.")
            report.note("rar archives that were not opened")
    return RawTree(root=root, files=tuple(files))


def _walk(root: Path) -> Iterator[RawFile]:
    for folder, folder_names, names in os.walk(root):
        folder_names[:] = [name for name in folder_names if not _is_hidden(PurePosixPath(name))]
        for name in names:
            path = Path(folder) / name
            relative = PurePosixPath(path.relative_to(root).as_posix())
            if not _is_hidden(relative):
                yield from _files_of(path, path=relative)


def _files_of(location: Path, *, path: PurePosixPath) -> Iterator[RawFile]:
    status = location.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    if not is_archive(location):
        yield RawFile(path=path, location=location, stamp=stamp)
        return
    for entry in list_archive(location, stamp=stamp):
        inner = path / entry.path
        if not _is_hidden(PurePosixPath(entry.path)):
            yield RawFile(path=inner, location=entry.location, member=entry.member, stamp=stamp)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == IGNORED_FOLDER for part in path.parts)
