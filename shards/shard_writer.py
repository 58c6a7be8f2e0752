"""Samples to tar shards with their index files, and the manifest that makes them a corpus."""

import contextlib
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from .image_file import decode_image
from .manifest import Manifest, ManifestSource, ShardEntry, SourceDescription, write_manifest
from .sample import KEY_PATTERN, MAX_KEY_LENGTH, UltrasoundSample, hash_pixels, key_word
from .sample_members import pack_members
from .shard_index import digest_bytes, pack_index
from .shared_images import pack_digests, pixels_name
from .storage import Storage

END_OF_TAR = bytes(1024)
"""Two empty blocks."""

DEFAULT_SAMPLES_PER_SHARD = 1_000
DEFAULT_SHARD_BYTES = 256 * 2**20


def write_corpus(
    samples: Iterable[UltrasoundSample],
    url: str,
    *,
    split: str,
    sources: Sequence[SourceDescription],
    max_samples_per_shard: int = DEFAULT_SAMPLES_PER_SHARD,
    max_shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> Manifest:
    """Write samples, in their order, as a corpus at `url`, and return its manifest.

    Samples of one source should follow each other: a shard holds one source only. Without a single
    sample only an empty manifest is written.

    Raises:
        ValueError: A sample breaks the contract, or its key came before.
    """
    with CorpusWriter(
        url,
        split=split,
        sources=sources,
        max_samples_per_shard=max_samples_per_shard,
        max_shard_bytes=max_shard_bytes,
    ) as writer:
        for sample in samples:
            writer.write(sample)
        return writer.finish()


class CorpusWriter:
    """Writes one corpus; use it in a `with` block and end with `finish`.

    A block left early drops the open shard and writes no manifest.
    """

    def __init__(
        self,
        url: str,
        *,
        split: str,
        sources: Sequence[SourceDescription],
        max_samples_per_shard: int = DEFAULT_SAMPLES_PER_SHARD,
        max_shard_bytes: int = DEFAULT_SHARD_BYTES,
    ) -> None:
        """Prepare; nothing is written before the first sample."""
        self._url = url
        self._storage = Storage(url)
        self._split = split
        self._descriptions = {source.name: source for source in sources}
        self._max_samples = max_samples_per_shard
        self._max_bytes = max_shard_bytes
        self._shard: _OpenShard | None = None
        self._shards: list[ShardEntry] = []
        self._keys: set[str] = set()
        self._pixels: dict[str, list[str]] = defaultdict(list)
        self._subjects: dict[str, set[str]] = defaultdict(set)
        self._num_unknown_subjects: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shard is not None:
            shard, self._shard = self._shard, None
            shard.abandon(error)

    def write(self, sample: UltrasoundSample) -> None:
        """Append one sample."""
        source = sample.origin.source
        _check_sample(sample, description=self._descriptions.get(source))
        if sample.key in self._keys:
            raise ValueError(f"{sample.key}: this key was written before. Keys must be unique.")
        packed = pack_members(sample)
        if self._shard is not None and not self._fits(source, num_bytes=len(packed)):
            self._close_shard()
        if self._shard is None:
            number = sum(entry.source == source for entry in self._shards)
            name = f"{key_word(source)}-{number:05d}.tar"
            self._shard = _OpenShard(self._storage, name=name, source=source)
        self._shard.append(packed, num_objects=len(sample.objects))
        self._keys.add(sample.key)
        self._pixels[source].append(sample.origin.pixels_sha256)
        if sample.origin.subject_is_known:
            self._subjects[source].add(sample.origin.subject)
        else:
            self._num_unknown_subjects[source] += 1

    def finish(self) -> Manifest:
        """Close the last shard, write the manifest and return it."""
        if self._shard is not None:
            self._close_shard()
        names = list(dict.fromkeys(entry.source for entry in self._shards))
        for name in names:
            content = pack_digests(self._pixels[name])
            self._storage.write(pixels_name(name), content=content)
        manifest = Manifest(
            split=self._split,
            sources=tuple(self._count_source(name) for name in names),
            shards=tuple(self._shards),
        )
        write_manifest(manifest, url=self._url)
        return manifest

    def _fits(self, source: str, *, num_bytes: int) -> bool:
        shard = self._shard
        return (
            shard is not None
            and shard.source == source
            and shard.num_samples < self._max_samples
            and shard.num_bytes + num_bytes <= self._max_bytes
        )

    def _close_shard(self) -> None:
        assert self._shard is not None
        shard, self._shard = self._shard, None
        self._shards.append(shard.close())

    def _count_source(self, name: str) -> ManifestSource:
        description = self._descriptions[name]
        entries = [entry for entry in self._shards if entry.source == name]
        num_unknown = self._num_unknown_subjects[name]
        return ManifestSource(
            name=name,
            version=description.version,
            licence=description.licence,
            citation=description.citation,
            home_page=description.home_page,
            categories=description.categories,
            num_samples=sum(entry.num_samples for entry in entries),
            num_objects=sum(entry.num_objects for entry in entries),
            num_subjects=len(self._subjects[name]) + num_unknown,
            num_unknown_subjects=num_unknown,
        )


class _OpenShard:
    """A tar that grows, and the offsets of what is in it."""

    def __init__(self, storage: Storage, *, name: str, source: str) -> None:
        self.source = source
        self.num_bytes = 0
        self._name = name
        self._storage = storage
        self._num_objects = 0
        self._hash = hashlib.sha256()
        self._records: list[tuple[int, int, np.ndarray]] = []
        self._stack = contextlib.ExitStack()
        partial = self._stack.enter_context(storage.writing(name))
        self._file: BinaryIO = self._stack.enter_context(partial.open("wb"))

    @property
    def num_samples(self) -> int:
        return len(self._records)

    def append(self, packed: bytes, *, num_objects: int) -> None:
        self._records.append((self.num_bytes, len(packed), digest_bytes(packed)))
        self._num_objects += num_objects
        self._write(packed)

    def close(self) -> ShardEntry:
        """Give tar and index their names; the index comes first, so that no tar lacks one."""
        entry_name = self._name
        self._write(END_OF_TAR)
        self._file.flush()
        os.fsync(self._file.fileno())
        entry = ShardEntry(
            name=entry_name,
            source=self.source,
            num_samples=self.num_samples,
            num_objects=self._num_objects,
            num_bytes=self.num_bytes,
            sha256=self._hash.hexdigest(),
        )
        self._storage.write(entry.index_name, content=pack_index(self._records))
        self._stack.close()
        return entry

    def abandon(self, error: BaseException | None) -> None:
        """Remove what was written; `error` tells the stack that the block did not end well."""
        reason = error or RuntimeError("The corpus was not finished.")
        with contextlib.suppress(type(reason)):
            self._stack.__exit__(type(reason), reason, reason.__traceback__)

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)
        self.num_bytes += len(content)


def _check_sample(sample: UltrasoundSample, *, description: SourceDescription | None) -> None:
    key = sample.key
    if not KEY_PATTERN.fullmatch(key) or len(key) > MAX_KEY_LENGTH:
        raise ValueError(
            f"Key {key!r} cannot be stored; expected source__name of at most {MAX_KEY_LENGTH} "
            "characters from a-z, 0-9, _ and -. Make it with shards.make_key."
        )
    if description is None:
        raise ValueError(
            f"{key}: its source {sample.origin.source!r} is not described. Add it to `sources`."
        )
    image = sample.image
    is_picture = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not is_picture:
        raise ValueError(
            f"{key}: the image is {image.dtype} of shape {image.shape}; expected uint8, "
            "(row column) or (row column 3)."
        )
    _check_pixels(sample)
    for thing in sample.objects:
        if (thing.rle.rows, thing.rle.columns) != sample.size:
            raise ValueError(
                f"{key}: the mask of {thing.category} is {thing.rle.rows} x {thing.rle.columns} "
                f"pixels, the image {sample.size[0]} x {sample.size[1]}. Fix the source."
            )
        if thing.category not in description.categories:
            raise ValueError(
                f"{key}: source {description.name!r} does not annotate {thing.category!r} but "
                f"{', '.join(description.categories)}. Fix the source."
            )


def _check_pixels(sample: UltrasoundSample) -> None:
    """Check that what will be read back is the image, and the one that its origin speaks of."""
    stored = sample.image
    if sample.encoded_image is not None:
        stored = decode_image(sample.encoded_image.content, where=sample.key)
    if not np.array_equal(stored, sample.image):
        raise ValueError(
            f"{sample.key}: its encoded_image decodes to other pixels than its image. "
            "Leave encoded_image out, and a PNG is made of the image."
        )
    if hash_pixels(sample.image) != sample.origin.pixels_sha256:
        raise ValueError(
            f"{sample.key}: origin.pixels_sha256 is not that of its image. "
            "Take it from shards.hash_pixels(image)."
        )
