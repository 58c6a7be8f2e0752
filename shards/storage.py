"""Where corpora lie: a folder, a bucket, or any other place that fsspec opens by URL."""

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from .reading_config import ReadingConfig
from .store_retries import StoreRetries, is_beyond_end

ResultT = TypeVar("ResultT")

CONNECT_SECONDS = 10
LONG_FACTOR = 10
"""A whole shard, or a long list of files, may take so many times as long as a range."""

_S3 = ("s3://", "s3a://")


class Storage:
    """One folder on one filesystem.

    Build it in the process that uses it: s3fs does not survive a fork.
    """

    def __init__(
        self,
        url: str,
        *,
        reading: ReadingConfig | None = None,
        counts: Counter[str] | None = None,
    ) -> None:
        """Open the filesystem of `url`; the folder itself need not exist.

        Args:
            url: A folder, or anything that fsspec opens.
            reading: Patience with a store that does not answer; None takes the defaults.
            counts: Gets the number of requests that were made again, as `retries`.

        Raises:
            ValueError: No filesystem is installed for the URL's scheme.
        """
        reading = reading or ReadingConfig()
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._seconds = reading.request_seconds
        try:
            self.filesystem, folder = fsspec.url_to_fs(
                url, skip_instance_cache=True, **_options(url, seconds=self._seconds)
            )
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"{url}: this kind of URL cannot be opened ({error}). "
                "Give a folder, s3://bucket/folder, or another URL that fsspec knows."
            ) from error
        if url.startswith(_S3):
            self.filesystem.retries = 1  # ours are the only ones
        self.url = url
        self.folder = folder.rstrip("/") or "/"
        self.is_local = isinstance(self.filesystem, LocalFileSystem)
        self._retries = StoreRetries(
            url,
            deadline_seconds=reading.deadline_seconds,
            counts=self.counts,
        )

    def path(self, name: str) -> str:
        """Return the filesystem's own path of a file in the folder."""
        return f"{self.folder}/{name}"

    def shown(self, name: str) -> str:
        """Return a file's URL for messages."""
        return f"{self.url.rstrip('/')}/{name}"

    def sizes(self) -> dict[str, int]:
        """Return name -> bytes of the files in the folder; empty where it cannot be listed."""
        limit = self._limit(LONG_FACTOR)
        try:
            entries = self._ask(lambda: self.filesystem.ls(self.folder, detail=True, **limit))
        except (OSError, NotImplementedError):
            return {}
        return {
            entry["name"].rpartition("/")[2]: int(entry["size"])
            for entry in entries
            if entry.get("type") == "file" and entry.get("size") is not None
        }

    def size(self, name: str) -> int | None:
        """Return a file's bytes, or None where it does not exist."""
        limit = self._limit()
        try:
            return int(self._ask(lambda: self.filesystem.size(self.path(name), **limit)))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """Return a whole file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        limit = self._limit(LONG_FACTOR)
        return self._ask(lambda: self.filesystem.cat_file(self.path(name), **limit))

    def read_range(self, name: str, *, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end` with one request; fewer where the file ends.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: The store knows no ranges, or does not answer.
        """
        limit = self._limit()

        def request() -> bytes:
            try:
                return self.filesystem.cat_file(self.path(name), start=start, end=end, **limit)
            except Exception as error:
                if is_beyond_end(error):
                    return b""
                raise

        content = self._ask(request)
        if len(content) > end - start:
            raise OSError(
                f"{self.shown(name)}: asked for {end - start} bytes, the server sent "
                f"{len(content)}: it knows no ranges. Serve the corpus with one that does (nginx, "
                "Apache, any S3), or copy it to a disk."
            )
        return content

    def is_empty(self) -> bool:
        """Whether the folder is missing or holds nothing."""
        limit = self._limit(LONG_FACTOR)
        try:
            return not self._ask(lambda: self.filesystem.ls(self.folder, detail=False, **limit))
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
            self._ask(lambda: self.filesystem.makedirs(self.folder, exist_ok=True))
            self._ask(lambda: self.filesystem.put_file(str(partial), self.path(name)))

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
            self._ask(lambda: self.filesystem.rm(self.folder, recursive=True))

    def _ask(self, request: Callable[[], ResultT]) -> ResultT:
        """Return what the filesystem answers; a disk is asked once."""
        return request() if self.is_local else self._retries.call(request)

    def _limit(self, factor: int = 1) -> dict[str, float]:
        """Return the option that ends a request that drips; the libraries know silence alone."""
        return {"timeout": factor * self._seconds} if self.filesystem.async_impl else {}


def join_url(url: str, *, name: str) -> str:
    """Return the URL of something inside the folder `url`."""
    return f"{url.rstrip('/')}/{name}"


def _options(url: str, *, seconds: float) -> dict[str, Any]:
    """Return what makes the filesystem of a URL give up a silent server, and never ask twice."""
    if url.startswith(_S3):
        silence = {"connect_timeout": min(CONNECT_SECONDS, seconds), "read_timeout": seconds}
        return {"config_kwargs": {**silence, "retries": {"total_max_attempts": 1}}}
    if url.startswith(("http://", "https://")):
        from aiohttp import ClientTimeout  # noqa: PLC0415 -- a third of a second

        timeout = ClientTimeout(sock_connect=min(CONNECT_SECONDS, seconds), sock_read=seconds)
        return {"client_kwargs": {"timeout": timeout}}
    return {}
