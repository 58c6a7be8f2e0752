"""Where corpora lie: a folder, a bucket, or any other place that fsspec opens by URL."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

S3_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 30,
    "retries": {"max_attempts": 5, "mode": "standard"},
}
"""Seconds; together well below the time-out of a collective, so that a stall is an error here."""


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn the errors of a store's own library into an `OSError` that says where to look."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("botocore", "aiobotocore", "aiohttp")):
            raise
        raise OSError(
            f"{url}: the store does not answer as it should ({error}). Check its address "
            "(AWS_ENDPOINT_URL), the keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and the net."
        ) from error


class Storage:
    """One folder on one filesystem.

    Build it in the process that uses it: s3fs does not survive a fork.
    """

    def __init__(self, url: str) -> None:
        """Open the filesystem of `url`; the folder itself need not exist.

        Raises:
            ValueError: No filesystem is installed for the URL's scheme.
        """
        is_s3 = url.startswith(("s3://", "s3a://"))
        options = {"config_kwargs": S3_TIMEOUTS} if is_s3 else {}
        try:
            self.filesystem, folder = fsspec.url_to_fs(url, skip_instance_cache=True, **options)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"{url}: this kind of URL cannot be opened ({error}). "
                "Give a folder, s3://bucket/folder, or another URL that fsspec knows."
            ) from error
        self.url = url
        self.folder = folder.rstrip("/") or "/"
        self.is_local = isinstance(self.filesystem, LocalFileSystem)

    def path(self, name: str) -> str:
        """Return the filesystem's own path of a file in the folder."""
        return f"{self.folder}/{name}"

    def shown(self, name: str) -> str:
        """Return a file's URL for messages."""
        return f"{self.url.rstrip('/')}/{name}"

    def sizes(self) -> dict[str, int]:
        """Return name -> bytes of the files in the folder; empty where it cannot be listed."""
        try:
            with _explained(self.url):
                entries = self.filesystem.ls(self.folder, detail=True)
        except (OSError, NotImplementedError):
            return {}
        return {
            PurePosixPath(entry["name"]).name: int(entry["size"])
            for entry in entries
            if entry.get("type") == "file" and entry.get("size") is not None
        }

    def size(self, name: str) -> int | None:
        """Return a file's bytes, or None where it does not exist."""
        try:
            with _explained(self.url):
                return int(self.filesystem.size(self.path(name)))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """Return a whole file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        with _explained(self.url):
            return self.filesystem.cat_file(self.path(name))

    def read_range(self, name: str, *, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end` with one request."""
        with _explained(self.url):
            return self.filesystem.cat_file(self.path(name), start=start, end=end)

    def is_empty(self) -> bool:
        """Whether the folder is missing or holds nothing."""
        try:
            with _explained(self.url):
                return not self.filesystem.ls(self.folder, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return True

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a local path to write to; the file gets its name only when the block has ended well.

        On a disk it is written beside its place and renamed; elsewhere it is written to the local
        temporary folder and put in one piece, which object stores show only when complete.
        """
        if self.is_local:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            partial = Path(self.path(f"{name}.partial"))
            try:
                yield partial
                partial.replace(self.path(name))
            finally:
                partial.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory(prefix="shards-") as folder:
            partial = Path(folder) / name
            yield partial
            with _explained(self.url):
                self.filesystem.makedirs(self.folder, exist_ok=True)
                self.filesystem.put_file(str(partial), self.path(name))

    def write(self, name: str, *, content: bytes) -> None:
        """Write a whole file, visible only when complete."""
        with self.writing(name) as partial:
            partial.write_bytes(content)

    def remove(self) -> None:
        """Remove the folder with everything in it, if it is there."""
        if self.is_local:
            if Path(self.folder).exists():
                shutil.rmtree(self.folder)
        elif not self.is_empty():
            self.filesystem.rm(self.folder, recursive=True)


def join_url(url: str, *, name: str) -> str:
    """Return the URL of something inside the folder `url`."""
    return f"{url.rstrip('/')}/{name}"
