"""A corpus that can be read at any sample, from any fsspec URL, with one request a sample."""

import bisect
import dataclasses
import difflib
import itertools
import os
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from .manifest import MANIFEST_NAME, Manifest, ShardEntry, parse_manifest
from .sample import Origin, UltrasoundObject, UltrasoundSample
from .sample_members import read_annotations, read_sample, unpack_members
from .shard_index import digest_bytes, parse_index
from .storage import Storage

MAX_CACHED_INDEXES = 64
"""Index files kept in memory; at 48 bytes a sample some megabytes."""


def open_corpus(url: str) -> "Corpus":
    """Open the corpus at `url`: its manifest is read, and every shard's presence and size checked.

    Raises:
        FileNotFoundError: There is no manifest, or a shard is missing.
        ValueError: The manifest is damaged or newer, or a shard has another size.
    """
    storage = Storage(url)
    manifest = parse_manifest(storage)
    _check_shards(storage, manifest=manifest)
    return Corpus(url, manifest=manifest)


class Corpus:
    """Random access to the samples of one corpus.

    Cheap to pickle and safe to carry into worker processes: the filesystem is opened in the process
    that reads. Samples have an address (shard, sample) and a place in the flat order of all shards.
    """

    def __init__(self, url: str, *, manifest: Manifest) -> None:
        """Wrap a manifest that was checked; `open_corpus` is the way in."""
        self.url = url
        self.manifest = manifest
        self.samples_per_shard = tuple(shard.num_samples for shard in manifest.shards)
        self._ends = list(itertools.accumulate(self.samples_per_shard))
        self._storage: Storage | None = None
        self._storage_process = -1
        self._indexes: OrderedDict[int, np.ndarray] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the filesystem and the cached index files behind."""
        return {"url": self.url, "manifest": self.manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["url"], manifest=state["manifest"])

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
            ValueError: The bytes are not those that were written.
        """
        packed, where = self._read_packed(shard, sample)
        return read_sample(packed, where=where)

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
        return Corpus(self.url, manifest=manifest)

    def _read_packed(self, shard: int, sample: int) -> tuple[bytes, str]:
        entry = self.manifest.shards[shard]
        record = self._index(shard)[sample]
        start = int(record["offset"])
        storage = self._opened()
        packed = storage.read_range(entry.name, start=start, end=start + int(record["length"]))
        where = storage.shown(entry.name)
        if not np.array_equal(digest_bytes(packed), record["digest"]):
            raise ValueError(
                f"{where}: sample {sample}{_name_of(packed)} does not have the digest of its "
                "index: the shard is damaged. Copy it again, or build the corpus again."
            )
        return packed, where

    def _index(self, shard: int) -> np.ndarray:
        if shard in self._indexes:
            self._indexes.move_to_end(shard)
            return self._indexes[shard]
        entry = self.manifest.shards[shard]
        storage = self._opened()
        records = read_index(storage, entry=entry)
        self._indexes[shard] = records
        if len(self._indexes) > MAX_CACHED_INDEXES:
            self._indexes.popitem(last=False)
        return records

    def _opened(self) -> Storage:
        if self._storage is None or self._storage_process != os.getpid():
            self._storage = Storage(self.url)
            self._storage_process = os.getpid()
        return self._storage


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
    """Read and check the index file of a shard."""
    where = storage.shown(entry.index_name)
    try:
        content = storage.read(entry.index_name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{where}: is missing. Copy the whole folder, or build the corpus again."
        ) from error
    return parse_index(
        content, num_samples=entry.num_samples, num_bytes=entry.num_bytes, where=where
    )


def _check_shards(storage: Storage, *, manifest: Manifest) -> None:
    sizes = storage.sizes()
    for entry in manifest.shards:
        num_bytes = sizes.get(entry.name)
        if num_bytes is None:
            num_bytes = storage.size(entry.name)
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
