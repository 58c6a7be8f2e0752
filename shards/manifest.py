"""What a corpus holds, in one JSON file beside its shards."""

import dataclasses
import functools
import hashlib
import json
from typing import Any

from .storage import Storage

FORMAT_VERSION = 1
"""Goes up when an older reader would misread a corpus. One version back is read; 1 is the first."""

MANIFEST_NAME = "manifest.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceDescription:
    """A published dataset and the terms it comes under."""

    name: str
    version: str
    licence: str
    """SPDX identifier where there is one; `unknown` where the terms were not found."""

    citation: str
    home_page: str
    categories: tuple[str, ...]
    """Those its annotators looked for: only of these is an absence known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ManifestSource(SourceDescription):
    """A source with what of it lies in this corpus."""

    num_samples: int
    num_objects: int
    num_subjects: int
    """Known and unknown ones together; every image of an unknown subject counts as one."""

    num_unknown_subjects: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One tar of samples of one source."""

    name: str
    source: str
    num_samples: int
    num_objects: int
    num_bytes: int
    sha256: str
    index_sha256: str | None = None
    """Of the file of offsets beside the tar; None in corpora that older programs built."""

    @property
    def index_name(self) -> str:
        """Name of the file of offsets beside the tar."""
        return f"{self.name.removesuffix('.tar')}.index"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The table of contents of one split."""

    split: str
    sources: tuple[ManifestSource, ...]
    shards: tuple[ShardEntry, ...]
    format_version: int = FORMAT_VERSION
    max_side_pixels: int | None = None
    """Longest side to which larger images were shrunk; None where all are as published."""

    @property
    def num_samples(self) -> int:
        """Images in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    @property
    def num_objects(self) -> int:
        """Annotated objects in all shards."""
        return sum(shard.num_objects for shard in self.shards)

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category that a source annotates, in alphabetical order."""
        return tuple(sorted({name for source in self.sources for name in source.categories}))

    @functools.cached_property
    def content_hash(self) -> str:
        """Sha256 of everything the corpus holds; where it lies takes no part in it."""
        return hashlib.sha256(_canonical(self.to_json())).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the fields that say what the corpus holds, which the content hash covers.

        One that says nothing stays out, as before it existed. The hashes of the index files do so
        too: these follow from the shards, whose own hashes take part.
        """
        fields: dict[str, Any] = {
            "split": self.split,
            # `dataclasses.asdict` would copy every value: seconds for a hundred thousand shards.
            "sources": [vars(source) for source in self.sources],
            "shards": [_without_index(shard) for shard in self.shards],
            "format_version": self.format_version,
        }
        if self.max_side_pixels is not None:
            fields["max_side_pixels"] = self.max_side_pixels
        return fields


def read_manifest(url: str) -> Manifest:
    """Read the manifest of the corpus at `url`.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, was edited, or comes from a newer version.
    """
    return parse_manifest(Storage(url))


def parse_manifest(storage: Storage) -> Manifest:
    """Read the manifest in an opened folder; errors as `read_manifest`."""
    where = storage.shown(MANIFEST_NAME)
    try:
        content = storage.read(MANIFEST_NAME)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(_explain_absence(storage)) from error
    try:
        fields = json.loads(content)
        version = int(fields["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where}: is no manifest ({error!r}). Build the corpus again.") from error
    if not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"{where}: has format version {version}; this program reads versions 1 to "
            f"{FORMAT_VERSION}. Use a newer program, or build the corpus again with this one."
        )
    try:
        manifest = _from_json(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: lacks a field ({error}). Build the corpus again.") from error
    if manifest.content_hash != fields.get("content_hash"):
        raise ValueError(
            f"{where}: does not match its own content hash: it was edited or damaged. "
            "Restore it, or build the corpus again."
        )
    return manifest


def write_manifest(manifest: Manifest, *, url: str) -> None:
    """Write the manifest: the last file of a corpus, which makes it one."""
    fields = {**manifest.to_json(), "content_hash": manifest.content_hash}
    hashes = [shard.index_sha256 for shard in manifest.shards]
    if any(hashes):
        # Beside the shards, not in them: an older program passes over it.
        fields["index_sha256"] = hashes
    Storage(url).write(MANIFEST_NAME, content=to_json_file(fields))


def to_json_file(fields: dict[str, Any]) -> bytes:
    """Return JSON as this project writes it into files: indented, ending with a line feed."""
    return (json.dumps(fields, indent=2, ensure_ascii=True) + "\n").encode()


def _explain_absence(storage: Storage) -> str:
    names = sorted(storage.sizes())[:5]
    splits = [
        name
        for name in ("train", "validation", "test")
        if Storage(f"{storage.url.rstrip('/')}/{name}").size(MANIFEST_NAME) is not None
    ]
    if splits:
        urls = ", ".join(storage.shown(name) for name in splits)
        return f"{storage.url}: is a folder of corpora; name one of them: {urls}."
    found = f"it holds {', '.join(names)}" if names else "it is empty or does not exist"
    return (
        f"{storage.url}: no corpus here: {MANIFEST_NAME} is missing ({found}). "
        "Check the URL, or build the corpus with launchers/build_shards.py."
    )


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _without_index(shard: ShardEntry) -> dict[str, Any]:
    return {name: value for name, value in vars(shard).items() if name != "index_sha256"}


def _from_json(fields: dict[str, Any]) -> Manifest:
    num_shards = len(fields["shards"])
    hashes = fields.get("index_sha256") or [None] * num_shards
    if len(hashes) != num_shards:
        raise ValueError(f"index_sha256 has {len(hashes)} entries for {num_shards} shards")
    sources = [
        ManifestSource(**{**source, "categories": tuple(source["categories"])})
        for source in fields["sources"]
    ]
    return Manifest(
        split=fields["split"],
        sources=tuple(sources),
        shards=tuple(
            ShardEntry(**shard, index_sha256=index_sha256)
            for shard, index_sha256 in zip(fields["shards"], hashes, strict=True)
        ),
        format_version=fields["format_version"],
        max_side_pixels=fields.get("max_side_pixels"),
    )
