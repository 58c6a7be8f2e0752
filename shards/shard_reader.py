"""A corpus that can be read at any sample, from any fsspec URL, with one request a sample."""

import bisect
import contextlib
import dataclasses
import difflib
import itertools
import os
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .manifest import MANIFEST_NAME, Manifest, ShardEntry, parse_manifest
from .reading_config import ReadingConfig
from .sample import Origin, UltrasoundObject, UltrasoundSample
from .sample_members import read_annotations, read_sample, unpack_members
from .shard_cache import ShardCache
from .shard_index import INDEX_RECORD, digest_bytes, parse_index
from .storage import Storage

MAX_CACHED_INDEXES = 64
"""Index files kept in memory; at 48 bytes a sample some megabytes."""

READINGS_OF_BYTES = 3
"""From their store, of a sample or an index: bytes can be damaged on their way."""

_SIMULTANEOUS_QUESTIONS = 16


class BrokenSampleError(ValueError):
    """The bytes of one sample are not those that were written, or are no sample."""


def open_corpus(url: str, *, reading: ReadingConfig | None = None) -> "Corpus":
    """Open the corpus at `url`: its manifest is read, and every shard's presence and size checked.

    Args:
        url: Folder or URL that holds `manifest.json`.
        reading: Patience with the store, and a cache; None takes the defaults, without a cache.

    Raises:
        FileNotFoundError: There is no manifest, or a shard is missing.
        ValueError: The manifest is damaged or newer, or a shard has another size.
        OSError: The store does not answer.
    """
    counts: Counter[str] = Counter()
    storage = Storage(url, reading=reading, counts=counts)
    manifest = parse_manifest(storage)
    _check_shards(storage, manifest=manifest)
    return Corpus(url, manifest=manifest, reading=reading, counts=counts)


class Corpus:
    """Random access to the samples of one corpus.

    Cheap to pickle and safe to carry into worker processes: the filesystem is opened in the process
    that reads. Samples have an address (shard, sample) and a place in the flat order of all shards.
    """

    def __init__(
        self,
        url: str,
        *,
        manifest: Manifest,
        reading: ReadingConfig | None = None,
        counts: Counter[str] | None = None,
    ) -> None:
        """Wrap a manifest that was checked; `open_corpus` is the way in.

        Args:
            url: Where it lies.
            manifest: What it holds.
            reading: As for `open_corpus`.
            counts: What opening it took, to count on from; a copy of the corpus begins at nothing.
        """
        self.url = url
        self.manifest = manifest
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._reading = reading or ReadingConfig()
        self._cache = ShardCache.of(self._reading, counts=self.counts)
        self.samples_per_shard = tuple(shard.num_samples for shard in manifest.shards)
        self._ends = list(itertools.accumulate(self.samples_per_shard))
        self._storage: Storage | None = None
        self._storage_process = -1
        self._indexes: OrderedDict[int, np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the filesystem and the cached index files behind."""
        return {"url": self.url, "manifest": self.manifest, "reading": self._reading}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["url"], manifest=state["manifest"], reading=state["reading"])

    def __repr__(self) -> str:
        return f"Corpus({self.url!r}, num_samples={self.num_samples})"

    @property
    def num_samples(self) -> int:
        """Images in all shards."""
        return self._ends[-1] if self._ends else 0

    def address(self, index: int) -> tuple[int, int]:
        """Return (shard, sample) of a place in the flat order."""
        if not 0 <= index < self.num_samples:
            raise IndexError(f"{self.url} has {self.num_samples} samples, no sample {index}.")
        shard = bisect.bisect_right(self._ends, index)
        return shard, index - (self._ends[shard] - self.samples_per_shard[shard])

    def read(self, shard: int, sample: int) -> UltrasoundSample:
        """Read one sample; its digest is checked and its image decoded once.

        Raises:
            BrokenSampleError: The bytes are not those that were written, or no sample.
            ValueError: The index of the shard does not fit it.
            OSError: The shard is not there, or its store does not answer.
        """
        packed, where = self._read_packed(shard, sample)
        try:
            return read_sample(packed, where=where)
        except ValueError as error:
            raise BrokenSampleError(str(error)) from error

    def read_flat(self, index: int) -> UltrasoundSample:
        """Read the sample at a place in the flat order."""
        return self.read(*self.address(index))

    def read_annotations(
        self, shard: int, sample: int
    ) -> tuple[tuple[UltrasoundObject, ...], Origin]:
        """Read objects and origin of one sample without decoding its image."""
        packed, where = self._read_packed(shard, sample)
        key, members = unpack_members(packed, where=where)
        return read_annotations(members, where=f"{where}: {key}")

    @property
    def licences(self) -> tuple[str, ...]:
        """Every licence that a source comes under, sorted."""
        return tuple(sorted({source.licence for source in self.manifest.sources}))

    def select(self, *, licences: Collection[str]) -> "Corpus":
        """Return the corpus without the shards of sources under other licences.

        Raises:
            ValueError: No source has one of these licences.
        """
        kept = [source for source in self.manifest.sources if source.licence in licences]
        if not kept:
            raise ValueError(
                f"{self.url}: no source comes under {', '.join(sorted(licences))}; its sources' "
                f"licences are {', '.join(self.licences)}. Change data.licences, or leave the "
                "corpus out."
            )
        names = {source.name for source in kept}
        shards = tuple(shard for shard in self.manifest.shards if shard.source in names)
        manifest = dataclasses.replace(self.manifest, sources=tuple(kept), shards=shards)
        return Corpus(self.url, manifest=manifest, reading=self._reading, counts=self.counts)

    @property
    def storage(self) -> Storage:
        """The folder, opened in the process that asks; what is asked of it is counted here."""
        if self._storage is None or self._storage_process != os.getpid():
            self._storage = Storage(self.url, reading=self._reading, counts=self.counts)
            self._storage_process = os.getpid()
        return self._storage

    @property
    def has_cache(self) -> bool:
        """Whether shards are kept near at hand."""
        return self._cache is not None

    def fetch(self, shard: int) -> None:
        """Take a shard into the cache; it is no error if that fails."""
        if self._cache is not None:
            self._cache.fetch(self.manifest.shards[shard], storage=self.storage)

    def _read_packed(self, shard: int, sample: int) -> tuple[bytes, str]:
        entry = self.manifest.shards[shard]
        record = self._index(shard)[sample]
        where = self.storage.shown(entry.name)
        packed = b""
        for packed in self._readings(entry, record=record):
            if np.array_equal(digest_bytes(packed), record["digest"]):
                return packed, where
        raise BrokenSampleError(
            f"{where}: sample {sample}{_name_of(packed)} does not have the digest of its index: "
            "the shard is damaged, or was replaced. Copy it again, or build the corpus again."
        )

    def _readings(self, entry: ShardEntry, *, record: np.ndarray) -> Iterator[bytes]:
        """Yield a sample's bytes from the cache, then from the store, as often as one cares."""
        start = int(record["offset"])
        end = start + int(record["length"])
        if self._cache is not None:
            packed = self._cache.read_range(entry, start=start, end=end)
            if packed is not None:
                yield packed
                self._cache.drop(entry)
        storage = self.storage
        for number in range(1 if storage.is_local else READINGS_OF_BYTES):
            self.counts["retries"] += number > 0
            try:
                yield storage.read_range(entry.name, start=start, end=end)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"{storage.shown(entry.name)}: is gone, but {MANIFEST_NAME} lists it: it, or "
                    "the place that held it, was removed. Restore it and start the run again."
                ) from error

    def _index(self, shard: int) -> np.ndarray:
        if shard in self._indexes:
            self._indexes.move_to_end(shard)
            return self._indexes[shard]
        records = read_index(self.storage, entry=self.manifest.shards[shard])
        self._indexes[shard] = records
        if len(self._indexes) > MAX_CACHED_INDEXES:
            self._indexes.popitem(last=False)
        return records


def check_licences(licences: Collection[str], *, corpora: Iterable[Corpus]) -> None:
    """Refuse a licence that no corpus has: mistyped, it would leave its sources out unnoticed.

    Raises:
        ValueError: It names the licence, and the one that may have been meant.
    """
    found = sorted({licence for corpus in corpora for licence in corpus.licences})
    for licence in licences:
        if licence not in found:
            lowered = {known.lower(): known for known in found}
            close = difflib.get_close_matches(licence.lower(), lowered, n=1)
            hint = f" (did you mean {lowered[close[0]]!r}?)" if close else ""
            raise ValueError(
                f"data.licences: no source comes under {licence}{hint}; the licences of the "
                f"training sources are {', '.join(found)}. Change it, or take it out."
            )


def read_index(storage: Storage, *, entry: ShardEntry) -> np.ndarray:
    """Read and check the index file of a shard, from a store again where it is not the right one.

    Raises:
        FileNotFoundError: It is missing.
        ValueError: It does not fit the manifest.
    """
    for _ in range(0 if storage.is_local else READINGS_OF_BYTES - 1):
        with contextlib.suppress(ValueError):
            return _read_index_once(storage, entry=entry)
        storage.counts["retries"] += 1
    return _read_index_once(storage, entry=entry)


def _read_index_once(storage: Storage, *, entry: ShardEntry) -> np.ndarray:
    where = storage.shown(entry.index_name)
    try:
        # One byte more than it should have tells that it has more.
        end = entry.num_samples * INDEX_RECORD.itemsize + 1
        content = storage.read_range(entry.index_name, start=0, end=end)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{where}: is missing. Copy the whole folder, or build the corpus again."
        ) from error
    return parse_index(
        content,
        num_samples=entry.num_samples,
        num_bytes=entry.num_bytes,
        sha256=entry.index_sha256,
        where=where,
    )


def _check_shards(storage: Storage, *, manifest: Manifest) -> None:
    sizes: dict[str, int | None] = {**storage.sizes()}
    untold = [entry.name for entry in manifest.shards if entry.name not in sizes]
    with ThreadPoolExecutor(_SIMULTANEOUS_QUESTIONS) as pool:  # plain HTTP is asked one by one
        sizes |= zip(untold, pool.map(storage.size, untold), strict=True)
    for entry in manifest.shards:
        num_bytes = sizes[entry.name]
        if num_bytes is None:
            raise FileNotFoundError(
                f"{storage.shown(entry.name)}: is missing, but {MANIFEST_NAME} lists it. "
                "Copy the whole folder, or build the corpus again."
            )
        if num_bytes != entry.num_bytes:
            raise ValueError(
                f"{storage.shown(entry.name)}: has {num_bytes} bytes, {MANIFEST_NAME} says "
                f"{entry.num_bytes}. Copy it again, or build the corpus again."
            )


def _name_of(packed: bytes) -> str:
    """Return the key as far as damaged bytes still tell it."""
    name = packed[:100].split(b".", 1)[0]
    is_key = name.isascii() and name and b"\0" not in name
    return f" ({name.decode('ascii')})" if is_key else ""
