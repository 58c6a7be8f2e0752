"""A folder of whole shards near at hand, shared by processes, runs and nodes.

Nobody waits for it. A sample whose shard is here is read from here; any other is read from its
store, by its range, while a thread fetches whole shards ahead (`shard_prefetch`). So a cache that
is cold, too small, full or broken costs speed and changes no sample.

    SHA256.tar       a shard, complete and of that hash
    SHA256.partial   one that is being fetched; its size counts from the beginning
    SHA256.lock      held by who fetches; the system lets go of a dead one's
    room.lock        held by who makes room
"""

import contextlib
import errno
import hashlib
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from .manifest import Manifest, ShardEntry
from .reading_config import ReadingConfig
from .storage import Storage

GIBIBYTE = 2**30
CHUNK_BYTES = 8 * 2**20
"""Fetched with one request, so that memory stays small and no request takes long."""

DOWNLOADS_OF_A_SHARD = 2
"""Bytes can be damaged on their way."""

_logger = logging.getLogger(__name__)


class ShardCache:
    """Whole shards by their hash, the least recently used of which make room."""

    def __init__(self, folder: str, *, max_bytes: int, counts: Counter[str]) -> None:
        """Remember the folder; it is made when the first shard comes.

        Args:
            folder: On a disk that is faster than the store.
            max_bytes: Of all shards in it, those still on their way included.
            counts: Gets `cache_hits`, `cache_misses`, `cached_shards` and `cache_failures`.
        """
        self._folder = Path(folder)
        self._max_bytes = max_bytes
        self._counts = counts
        self._given_up: set[str] = set()

    @classmethod
    def of(cls, reading: ReadingConfig, *, counts: Counter[str]) -> "ShardCache | None":
        """Return the cache that the options ask for."""
        if reading.cache is None:
            return None
        max_bytes = int(reading.cache_gibibytes * GIBIBYTE)
        return cls(reading.cache, max_bytes=max_bytes, counts=counts)

    def read_range(self, entry: ShardEntry, *, start: int, end: int) -> bytes | None:
        """Return the bytes from `start` up to `end` of a shard, or None where it is not here."""
        content = None
        # It may be removed by any other process, or the disk may fail: then it is not here.
        with contextlib.suppress(OSError), self._path(entry).open("rb") as file:
            content = os.pread(file.fileno(), end - start, start)
            os.utime(file.fileno())  # the least recently used goes first; fails on another user's
        self._counts["cache_misses" if content is None else "cache_hits"] += 1
        return content

    def drop(self, entry: ShardEntry) -> None:
        """Remove a shard that was found damaged."""
        _logger.warning("%s: %s is damaged here; removed.", self._folder, entry.name)
        self._counts["cache_failures"] += 1
        self._path(entry).unlink(missing_ok=True)

    def fetch(self, entry: ShardEntry, *, storage: Storage) -> None:
        """Take a shard in, unless it is here or some process is just fetching it.

        Whatever goes wrong is counted and logged, and the shard is read from its store.
        """
        if self._path(entry).exists() or entry.sha256 in self._given_up:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock(entry.sha256)).acquire(blocking=False):
                if not self._path(entry).exists():
                    self._take_in(entry, storage=storage)
        except Timeout:
            return
        except (OSError, ValueError) as error:
            self._given_up.add(entry.sha256)
            self._counts["cache_failures"] += 1
            number = len(self._given_up)
            if number.bit_count() == 1:  # the first, second, fourth, eighth: a full disk has many
                _logger.warning(
                    "data.cache=%s cannot keep %s, which is read from its store instead (%s). "
                    "Shards not kept by this process so far: %d.",
                    self._folder,
                    storage.shown(entry.name),
                    error,
                    number,
                )

    def _take_in(self, entry: ShardEntry, *, storage: Storage) -> None:
        partial = self._folder / f"{entry.sha256}.partial"
        try:
            self._reserve(partial, num_bytes=entry.num_bytes)
            for number in range(DOWNLOADS_OF_A_SHARD):
                self._counts["retries"] += number > 0
                if _download(entry, storage=storage, partial=partial) == entry.sha256:
                    partial.replace(self._path(entry))
                    self._counts["cached_shards"] += 1
                    return
            raise ValueError(
                "its sha256 is not the manifest's: it was damaged or replaced, "
                "launchers/validate_shards.py tells"
            )
        finally:
            partial.unlink(missing_ok=True)

    def _reserve(self, partial: Path, *, num_bytes: int) -> None:
        """Make an empty file of that size, and room for it first."""
        partial.unlink(missing_ok=True)  # of who died fetching the same one
        with FileLock(self._folder / "room.lock"):
            self._drop_leftovers()
            shards = sorted(self._folder.glob("*.tar"), key=_last_used)
            taken = sum(map(_size, [*shards, *self._folder.glob("*.partial")]))
            while shards and not self._has_room(num_bytes, taken=taken):
                taken -= _size(shards[0])
                shards.pop(0).unlink(missing_ok=True)
            if not self._has_room(num_bytes, taken=taken):
                raise OSError(
                    errno.ENOSPC,
                    f"{num_bytes / GIBIBYTE:.3g} GiB do not fit. Free the disk, or change "
                    "data.cache or data.cache_gibibytes",
                )
            with partial.open("wb") as file:
                file.truncate(num_bytes)

    def _has_room(self, num_bytes: int, *, taken: int) -> bool:
        is_within = taken + num_bytes <= self._max_bytes
        return is_within and shutil.disk_usage(self._folder).free >= num_bytes

    def _drop_leftovers(self) -> None:
        """Remove what processes were fetching when they died."""
        for partial in self._folder.glob("*.partial"):
            with (
                contextlib.suppress(Timeout),
                FileLock(self._lock(partial.stem)).acquire(blocking=False),
            ):
                partial.unlink(missing_ok=True)

    def _path(self, entry: ShardEntry) -> Path:
        return self._folder / f"{entry.sha256}.tar"

    def _lock(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.lock"


def _download(entry: ShardEntry, *, storage: Storage, partial: Path) -> str:
    """Write a shard into a file that is there, and return its sha256."""
    digest = hashlib.sha256()
    with partial.open("r+b") as file:
        for start in range(0, entry.num_bytes, CHUNK_BYTES):
            end = min(start + CHUNK_BYTES, entry.num_bytes)
            chunk = storage.read_range(entry.name, start=start, end=end)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def check_cache(
    reading: ReadingConfig, *, manifests: Iterable[Manifest], shards_per_block: int
) -> None:
    """Refuse a cache that cannot be written to, or that is too small to be of use.

    Raises:
        ValueError: It says what would do.
    """
    if reading.cache is None:
        return
    try:
        Path(reading.cache).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"data.cache={reading.cache} is no folder to write to ({error}). Name another one."
        ) from error
    sizes = sorted(shard.num_bytes for manifest in manifests for shard in manifest.shards)
    needed = sum(sizes[-2 * shards_per_block :])
    if needed > reading.cache_gibibytes * GIBIBYTE:
        raise ValueError(
            f"data.cache_gibibytes={reading.cache_gibibytes}: the shards of two blocks may take "
            f"{needed / GIBIBYTE:.3g} GiB, and one would push out the other. Give it that much, "
            "lower data.shards_per_block in a new run, or leave data.cache out."
        )


def _last_used(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):  # removed by another process meanwhile
        return path.stat().st_mtime
    return 0.0


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
