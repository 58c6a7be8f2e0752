"""Every checksum, count and member of a corpus, checked by reading all of it."""

import hashlib
import io
import itertools
import tarfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from .corpus_file import read_corpus_file
from .manifest import Manifest, ShardEntry, parse_manifest
from .sample import UltrasoundSample, count_components, hash_pixels
from .sample_members import read_sample
from .sequences import digest_of_sequence, sequences_name
from .shard_index import digest_bytes
from .shard_reader import read_index
from .shard_writer import END_OF_TAR
from .shared_images import pack_digests, pixels_name, read_digest_file
from .storage import Storage, join_url


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    where: str
    """URL of the file, with the sample's key where one is meant."""

    what: str


@dataclass(kw_only=True)
class _Tally:
    """What was met while reading one corpus."""

    findings: list[Finding] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    known_subjects: set[tuple[str, str]] = field(default_factory=set)
    num_unknown_subjects: Counter[str] = field(default_factory=Counter)
    images: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Source -> (sha256 of the pixels, key) of each of its images, in their order."""

    sequences: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Source -> digest of the sequence of each of its images, in their order."""

    def add(self, where: str, *, what: str) -> None:
        """Remember a finding."""
        self.findings.append(Finding(where=where, what=what))


def corpus_urls(url: str) -> list[str]:
    """Return the corpora at `url`: those that `corpus.json` lists, or the one that lies there.

    Raises:
        ValueError: `corpus.json` is damaged.
    """
    fields = read_corpus_file(url)
    return [url] if fields is None else [join_url(url, name=split) for split in fields["splits"]]


def validate_corpus(url: str) -> list[Finding]:
    """Read everything at `url`, a corpus or a build of several, and return what is wrong.

    Whole shards are compared with their hash, each sample with its digest, every picture and mask
    is decoded, and counts are compared with the manifest. An empty list means that all is well.
    """
    fields = read_corpus_file(url)
    findings: list[Finding] = []
    subjects: dict[str, set[tuple[str, str]]] = {}
    images: dict[str, dict[str, str]] = {}
    for corpus_url in corpus_urls(url):
        tally = _Tally()
        manifest = _validate_one(corpus_url, tally=tally)
        findings += tally.findings
        subjects[corpus_url] = tally.known_subjects
        images[corpus_url] = {sha256: key for some in tally.images.values() for sha256, key in some}
        if fields is not None and manifest is not None:
            expected = fields["splits"][corpus_url.rsplit("/", maxsplit=1)[-1]]
            if manifest.content_hash != expected:
                what = f"content hash {manifest.content_hash}, corpus.json says {expected}"
                findings.append(Finding(where=corpus_url, what=what))
    if fields is not None and not fields.get("num_leaked_subjects"):
        findings += _find_leaks(subjects)
    if fields is not None and not fields.get("num_shared_images"):
        findings += _find_shared(images)
    return findings


def _validate_one(url: str, *, tally: _Tally) -> Manifest | None:
    storage = Storage(url)
    try:
        manifest = parse_manifest(storage)
    except (ValueError, OSError) as error:
        tally.add(url, what=str(error))
        return None
    for entry in tqdm(manifest.shards, desc=url, unit="shard", disable=None):
        try:
            _validate_shard(storage, entry=entry, manifest=manifest, tally=tally)
        except (ValueError, OSError) as error:
            tally.add(storage.shown(entry.name), what=str(error))
    listed = {entry.name for entry in manifest.shards}
    for name in sorted(storage.sizes()):
        if name.endswith(".tar") and name not in listed:
            tally.add(storage.shown(name), what="is not in the manifest")
    _check_sources(url, manifest=manifest, tally=tally)
    _check_digests(storage, manifest=manifest, tally=tally)
    return manifest


def _validate_shard(
    storage: Storage, *, entry: ShardEntry, manifest: Manifest, tally: _Tally
) -> None:
    where = storage.shown(entry.name)
    content = storage.read(entry.name)
    if len(content) != entry.num_bytes:
        tally.add(where, what=f"has {len(content)} bytes, the manifest says {entry.num_bytes}")
    elif hashlib.sha256(content).hexdigest() != entry.sha256:
        tally.add(where, what="its sha256 is not the manifest's")
    num_objects = 0
    end = 0
    for number, record in enumerate(read_index(storage, entry=entry)):
        start = int(record["offset"])
        if start != end:
            tally.add(
                where, what=f"sample {number} starts at {start}, the one before ends at {end}"
            )
        end = start + int(record["length"])
        packed = content[start:end]
        if not np.array_equal(digest_bytes(packed), record["digest"]):
            tally.add(where, what=f"sample {number} does not have the digest of its index")
        try:
            sample = read_sample(packed, where=where)
        except ValueError as error:
            tally.add(where, what=f"sample {number}: {error}")
            continue
        num_objects += len(sample.objects)
        _check_sample(sample, where=f"{where}: {sample.key}", entry=entry, tally=tally)
        _check_categories(sample, where=f"{where}: {sample.key}", manifest=manifest, tally=tally)
    if content[end:] != END_OF_TAR:
        tally.add(where, what="does not end behind the last sample of its index")
    if num_objects != entry.num_objects:
        what = f"holds {num_objects} objects, the manifest says {entry.num_objects}"
        tally.add(where, what=what)
    _check_tar(content, where=where, entry=entry, tally=tally)


def _check_sample(
    sample: UltrasoundSample, *, where: str, entry: ShardEntry, tally: _Tally
) -> None:
    origin = sample.origin
    if sample.key in tally.keys:
        tally.add(where, what="the key came before in this corpus")
    tally.keys.add(sample.key)
    tally.images[entry.source].append((origin.pixels_sha256, sample.key))
    tally.sequences[entry.source].append(digest_of_sequence(origin, key=sample.key))
    if origin.subject_is_known:
        tally.known_subjects.add((origin.source, origin.subject))
    else:
        tally.num_unknown_subjects[origin.source] += 1
    if origin.source != entry.source:
        tally.add(where, what=f"source is {origin.source}, its shard's is {entry.source}")
    if hash_pixels(sample.image) != origin.pixels_sha256:
        tally.add(where, what="the decoded pixels do not have the sha256 of the origin")
    for thing in sample.objects:
        if (thing.rle.rows, thing.rle.columns) != sample.size:
            tally.add(where, what=f"the mask of {thing.category} has another size than the image")
            continue
        mask = thing.mask()
        if not mask.any():
            tally.add(where, what=f"the mask of {thing.category} is empty")
        elif count_components(mask) != thing.num_components:
            tally.add(where, what=f"the components of {thing.category} are miscounted")


def _check_categories(
    sample: UltrasoundSample, *, where: str, manifest: Manifest, tally: _Tally
) -> None:
    for thing in sample.objects:
        if thing.category not in manifest.categories:
            tally.add(where, what=f"category {thing.category} is none of the manifest's")


def _check_tar(content: bytes, *, where: str, entry: ShardEntry, tally: _Tally) -> None:
    """Walk the archive as any tar program does, independently of the index."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            keys = {name.partition(".")[0] for name in archive.getnames()}
    except tarfile.TarError as error:
        tally.add(where, what=f"is no tar ({error})")
        return
    if len(keys) != entry.num_samples:
        what = f"holds {len(keys)} samples, the manifest says {entry.num_samples}"
        tally.add(where, what=what)


def _check_sources(url: str, *, manifest: Manifest, tally: _Tally) -> None:
    for source in manifest.sources:
        shards = [entry for entry in manifest.shards if entry.source == source.name]
        num_unknown = tally.num_unknown_subjects[source.name]
        num_known = sum(name == source.name for name, _ in tally.known_subjects)
        counts = {
            "num_samples": sum(entry.num_samples for entry in shards),
            "num_objects": sum(entry.num_objects for entry in shards),
            "num_subjects": num_known + num_unknown,
            "num_unknown_subjects": num_unknown,
        }
        for name, found in counts.items():
            listed = getattr(source, name)
            if listed != found:
                what = f"{source.name}: {name} is {found}, the manifest says {listed}"
                tally.add(url, what=what)


def _check_digests(storage: Storage, *, manifest: Manifest, tally: _Tally) -> None:
    for source in manifest.sources:
        expected = {pixels_name(source.name): [sha256 for sha256, _ in tally.images[source.name]]}
        name = sequences_name(source.name)
        if storage.size(name) is not None:  # an older program wrote none
            expected[name] = tally.sequences[source.name]
        for name, digests in expected.items():
            where = storage.shown(name)
            try:
                found = read_digest_file(storage, name=name, num_images=source.num_samples)
            except (ValueError, OSError) as error:
                tally.add(where, what=str(error))
                continue
            if found.tobytes() != pack_digests(digests):
                tally.add(where, what="does not hold the digests of the images")


def _find_leaks(subjects: dict[str, set[tuple[str, str]]]) -> list[Finding]:
    counts = Counter(subject for known in subjects.values() for subject in known)
    return [
        Finding(where=source, what=f"subject {subject} is in {count} splits")
        for (source, subject), count in sorted(counts.items())
        if count > 1
    ]


def _find_shared(images: dict[str, dict[str, str]]) -> list[Finding]:
    return [
        Finding(where=f"{other}: {pixels[sha256]}", what=f"is the very picture of {one}: {key}")
        for (one, known), (other, pixels) in itertools.combinations(images.items(), 2)
        for sha256, key in known.items()
        if sha256 in pixels
    ]
