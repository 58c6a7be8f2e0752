"""Shards as nobody should write them, with indexes and manifests that vouch for them."""

import dataclasses
import hashlib
import itertools
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from shards import read_manifest
from shards.manifest import write_manifest
from shards.shard_index import digest_bytes, pack_index


def replace_only_shard(folder: Path, packed: Sequence[bytes]) -> None:
    """Give a corpus of one shard other samples; all checksums fit them."""
    manifest = read_manifest(str(folder))
    (entry,) = manifest.shards
    content = b"".join(packed) + bytes(1024)
    starts = itertools.accumulate((len(one) for one in packed), initial=0)
    records = [
        (start, len(one), digest_bytes(one)) for start, one in zip(starts, packed, strict=False)
    ]
    index = pack_index(records)
    (folder / entry.name).write_bytes(content)
    (folder / entry.index_name).write_bytes(index)
    entry = dataclasses.replace(
        entry,
        num_samples=len(packed),
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        index_sha256=hashlib.sha256(index).hexdigest(),
    )
    write_manifest(dataclasses.replace(manifest, shards=(entry,)), url=str(folder))


def tar_member(name: str, *, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a member of any kind; a link points outside."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    info.linkname = "" if kind == tarfile.REGTYPE else "../../outside"
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def png_that_claims(content: bytes, *, rows: int, columns: int) -> bytes:
    """Return a PNG whose header, checksum included, tells another size than its pixels have."""
    header = b"IHDR" + struct.pack(">II", columns, rows) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
