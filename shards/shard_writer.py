"""Samples to tar shards with their index files, and the manifest that makes them a corpus."""

import hashlib
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from .image_file import decode_image
from .manifest import Manifest, ManifestSource, ShardEntry, SourceDescription, write_manifest
from .sample import KEY_PATTERN, MAX_KEY_LENGTH, UltrasoundSample, hash_pixels, key_word
from .sample_members import pack_members
from .sequences import digest_of_sequence, sequences_name
from .shard_index import digest_bytes, pack_index
from .shared_images import pack_digests, pixels_name
from .storage import Storage

END_OF_TAR = bytes(1024)
"""Two empty blocks."""

DEFAULT_SAMPLES_PER_SHARD = 1_000
DEFAULT_SHARD_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class SampleFacts:
    """What the files beside the shards have to know of a sample."""

    key: str
    subject: str | None
    """None where it is unknown."""

    pixels_sha256: str
    sequence_sha256: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedSample:
    """A sample as its shard will hold it."""

    facts: SampleFacts
    source: str
    num_objects: int
    content: bytes
    digest: np.ndarray
    """Of the content, as the index holds it."""


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """A finished shard and its samples, in their order."""

    entry: ShardEntry
    samples: tuple[SampleFacts, ...]


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
    storage = Storage(url)
    shards: list[WrittenShard] = []
    numbers: Counter[str] = Counter()
    packed = _pack_all(samples, sources=sources)
    for source, of_source in itertools.groupby(packed, key=lambda one: one.source):
        while written := write_shards(
            itertools.islice(of_source, max_samples_per_shard),
            storage,
            stem=shard_stem(source, number=numbers[source]),
            max_bytes=max_shard_bytes,
        ):
            shards += written
            numbers[source] += 1
    write_digests(shards, storage=storage)
    manifest = describe_corpus(shards, split=split, sources=sources)
    write_manifest(manifest, url=url)
    return manifest


def pack_sample(sample: UltrasoundSample, *, description: SourceDescription | None) -> PackedSample:
    """Return a sample as its shard will hold it.

    Args:
        sample: What a source read.
        description: Of its source; None where there is none, which is refused.

    Raises:
        ValueError: The sample breaks the contract.
    """
    _check_sample(sample, description=description)
    origin, content = sample.origin, pack_members(sample)
    return PackedSample(
        facts=SampleFacts(
            key=sample.key,
            subject=origin.subject if origin.subject_is_known else None,
            pixels_sha256=origin.pixels_sha256,
            sequence_sha256=digest_of_sequence(origin, key=sample.key),
        ),
        source=origin.source,
        num_objects=len(sample.objects),
        content=content,
        digest=digest_bytes(content),
    )


def shard_stem(source: str, *, number: int) -> str:
    """Return the name of a shard without its extension."""
    return f"{key_word(source)}-{number:05d}"


def write_shards(
    samples: Iterable[PackedSample], storage: Storage, *, stem: str, max_bytes: int
) -> list[WrittenShard]:
    """Write samples of one source as STEM.tar; what is too large for one goes on in STEM-1.tar.

    Every file gets its name only when it is complete.
    """
    rest = iter(samples)
    written: list[WrittenShard] = []
    first = next(rest, None)
    while first is not None:
        name = f"{stem}-{len(written)}.tar" if written else f"{stem}.tar"
        shard, first = _write_shard(first, rest, storage=storage, name=name, max_bytes=max_bytes)
        written.append(shard)
    return written


def describe_corpus(
    shards: Sequence[WrittenShard], *, split: str, sources: Sequence[SourceDescription]
) -> Manifest:
    """Return the manifest of finished shards; a source of which nothing was written stays out."""
    descriptions = {source.name: source for source in sources}
    of_source = _by_source(shards)
    return Manifest(
        split=split,
        sources=tuple(
            _count_source(descriptions[name], shards=of_source[name]) for name in of_source
        ),
        shards=tuple(shard.entry for shard in shards),
    )


def write_digests(shards: Sequence[WrittenShard], *, storage: Storage) -> None:
    """Write the files that tell, per source, which pictures are the same and which are frames."""
    for name, of_source in _by_source(shards).items():
        samples = [one for shard in of_source for one in shard.samples]
        pixels = pack_digests([one.pixels_sha256 for one in samples])
        storage.write(pixels_name(name), content=pixels)
        sequences = pack_digests([one.sequence_sha256 for one in samples])
        storage.write(sequences_name(name), content=sequences)


def _pack_all(
    samples: Iterable[UltrasoundSample], *, sources: Sequence[SourceDescription]
) -> Iterator[PackedSample]:
    descriptions = {source.name: source for source in sources}
    keys: set[str] = set()
    for sample in samples:
        packed = pack_sample(sample, description=descriptions.get(sample.origin.source))
        if sample.key in keys:
            raise ValueError(f"{sample.key}: this key was written before. Keys must be unique.")
        keys.add(sample.key)
        yield packed


def _write_shard(
    first: PackedSample,
    rest: Iterator[PackedSample],
    *,
    storage: Storage,
    name: str,
    max_bytes: int,
) -> tuple[WrittenShard, PackedSample | None]:
    """Write one tar and its index; return it, and the sample that no longer fitted into it."""
    records: list[tuple[int, int, np.ndarray]] = []
    facts: list[SampleFacts] = []
    shard_hash, num_bytes, num_objects = hashlib.sha256(), 0, 0
    sample: PackedSample | None = first
    with storage.writing(name) as partial:
        with partial.open("wb") as file:
            while sample is not None and (
                not records or num_bytes + len(sample.content) <= max_bytes
            ):
                records.append((num_bytes, len(sample.content), sample.digest))
                facts.append(sample.facts)
                file.write(sample.content)
                shard_hash.update(sample.content)
                num_bytes += len(sample.content)
                num_objects += sample.num_objects
                sample = next(rest, None)
            file.write(END_OF_TAR)
            shard_hash.update(END_OF_TAR)
            file.flush()
            os.fsync(file.fileno())
        index = pack_index(records)
        entry = ShardEntry(
            name=name,
            source=first.source,
            num_samples=len(records),
            num_objects=num_objects,
            num_bytes=num_bytes + len(END_OF_TAR),
            sha256=shard_hash.hexdigest(),
            index_sha256=hashlib.sha256(index).hexdigest(),
        )
        # The index comes first, so that no tar lacks one.
        storage.write(entry.index_name, content=index)
    return WrittenShard(entry=entry, samples=tuple(facts)), sample


def _by_source(shards: Sequence[WrittenShard]) -> dict[str, list[WrittenShard]]:
    of_source: dict[str, list[WrittenShard]] = defaultdict(list)
    for shard in shards:
        of_source[shard.entry.source].append(shard)
    return of_source


def _count_source(
    description: SourceDescription, *, shards: Sequence[WrittenShard]
) -> ManifestSource:
    subjects = [one.subject for shard in shards for one in shard.samples]
    num_unknown = subjects.count(None)
    return ManifestSource(
        **{field.name: getattr(description, field.name) for field in fields(SourceDescription)},
        num_samples=len(subjects),
        num_objects=sum(shard.entry.num_objects for shard in shards),
        num_subjects=len(set(subjects) - {None}) + num_unknown,
        num_unknown_subjects=num_unknown,
    )


def _check_sample(sample: UltrasoundSample, *, description: SourceDescription | None) -> None:
    key = sample.key
    if not KEY_PATTERN.fullmatch(key) or len(key) > MAX_KEY_LENGTH:
        raise ValueError(
            f"Key {key!r} cannot be stored; expected source__name of at most {MAX_KEY_LENGTH} "
            "characters from a-z, 0-9, _ and -. Make it with shards.make_key."
        )
    if description is None or description.name != sample.origin.source:
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
    rows, columns = sample.origin.original_size
    if not sample.objects and rows * columns < sample.size[0] * sample.size[1]:
        raise ValueError(
            f"{key}: the image is {sample.size[0]} x {sample.size[1]} pixels, its "
            f"origin.original_size {rows} x {columns}, and it has no mask to vouch for its size: "
            "it would not be read back. Do not enlarge images, or give the size that it has."
        )
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
