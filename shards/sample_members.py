"""A sample as the members of a tar, and back."""

import dataclasses
import json
import math
import tarfile
from typing import Any

from .image_file import decode_image, encode_png
from .sample import Origin, RunLength, UltrasoundObject, UltrasoundSample

OBJECTS_MEMBER = "objects.json"
ORIGIN_MEMBER = "origin.json"
IMAGE_MEMBERS = ("image.png", "image.jpg")
_MEMBERS = (*IMAGE_MEMBERS, OBJECTS_MEMBER, ORIGIN_MEMBER)

LARGEST_UNTOLD_SIZE = (4096, 4096)
"""Rows and columns of an image of which neither masks nor origin tell any, at most."""

_BLOCK_BYTES = tarfile.BLOCKSIZE


def pack_members(sample: UltrasoundSample) -> bytes:
    """Return the sample's part of a tar: its members in alphabetical order, each padded.

    Time, owner and mode are fixed, so that the same sample always gives the same bytes.
    """
    image = sample.encoded_image or encode_png(sample.image)
    members = {
        f"image.{image.extension}": image.content,
        OBJECTS_MEMBER: _to_json([_object_to_json(thing) for thing in sample.objects]),
        ORIGIN_MEMBER: _to_json(dataclasses.asdict(sample.origin)),
    }
    return b"".join(
        _pack_member(f"{sample.key}.{name}", content=members[name]) for name in sorted(members)
    )


def unpack_members(packed: bytes, *, where: str) -> tuple[str, dict[str, bytes]]:
    """Return the key and the members (name behind the key -> content) of a sample's part of a tar.

    Raises:
        ValueError: The bytes are no members of one sample.
    """
    members: dict[str, bytes] = {}
    keys: set[str] = set()
    position = 0
    try:
        while position < len(packed):
            start = position + _BLOCK_BYTES
            path, num_bytes = _parse_header(packed[position:start])
            key, _, name = path.partition(".")
            members[name] = packed[start : start + num_bytes]
            keys.add(key)
            position = start + _padded(num_bytes)
    except ValueError as error:
        raise ValueError(f"{where}: is no tar of samples ({error}). Build it again.") from error
    if len(keys) != 1 or not {OBJECTS_MEMBER, ORIGIN_MEMBER} <= members.keys():
        raise ValueError(
            f"{where}: members {sorted(members)} of keys {sorted(keys)} do not make one sample. "
            "Build the corpus again."
        )
    return keys.pop(), members


def read_sample(packed: bytes, *, where: str) -> UltrasoundSample:
    """Return the sample whose part of a tar is given; its image is decoded once, here.

    Raises:
        ValueError: The bytes are no sample as this project writes it.
    """
    key, members = unpack_members(packed, where=where)
    content = next((members[name] for name in IMAGE_MEMBERS if name in members), None)
    if content is None:
        raise ValueError(f"{where}: {key} has no image member. Build the corpus again.")
    objects, origin = read_annotations(members, where=f"{where}: {key}")
    sizes = {(thing.rle.rows, thing.rle.columns) for thing in objects}
    if len(sizes) > 1:
        raise ValueError(f"{where}: {key} has masks of several sizes. Build the corpus again.")
    image = decode_image(
        content,
        where=f"{where}: {key}",
        size=next(iter(sizes), None),
        # One without masks may be smaller than it was published, and turned, but no larger.
        max_pixels=None if sizes else math.prod(origin.original_size or LARGEST_UNTOLD_SIZE),
    )
    return UltrasoundSample(key=key, image=image, objects=objects, origin=origin)


def read_annotations(
    members: dict[str, bytes], *, where: str
) -> tuple[tuple[UltrasoundObject, ...], Origin]:
    """Return objects and origin without decoding the image."""
    try:
        objects = tuple(_object_from_json(fields) for fields in json.loads(members[OBJECTS_MEMBER]))
        return objects, _origin_from_json(json.loads(members[ORIGIN_MEMBER]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{where}: objects or origin cannot be read ({error!r}). Build the corpus again."
        ) from error


def _pack_member(name: str, *, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o444
    info.uname = info.gname = "samuspretrain"
    header = info.tobuf(tarfile.USTAR_FORMAT)
    return header + content.ljust(_padded(len(content)), b"\0")


def _parse_header(header: bytes) -> tuple[str, int]:
    """Return name and size of a member; `tarfile` takes a tenth of a millisecond for the rest.

    Raises:
        ValueError: The header is none, or damaged.
    """
    if len(header) != _BLOCK_BYTES or header[257:263] != b"ustar\0":
        raise ValueError("a member has no USTAR header")
    # The sum is taken with its own field blank.
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if int(header[148:154], 8) != total:
        raise ValueError("the header of a member is damaged")
    path = header[:100].rstrip(b"\0").decode("ascii")
    if header[156:157] != tarfile.REGTYPE:
        raise ValueError(f"member {path!r} is a link, a folder or a device, not a file")
    if path.partition(".")[2] not in _MEMBERS:
        raise ValueError(f"member {path!r} is none of KEY.{{{', '.join(_MEMBERS)}}}")
    return path, int(header[124:135], 8)


def _padded(num_bytes: int) -> int:
    return -(-num_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def _to_json(content: Any) -> bytes:  # noqa: ANN401 -- any JSON
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode()


def _object_to_json(thing: UltrasoundObject) -> dict[str, Any]:
    return {
        "category": thing.category,
        "organ": thing.organ,
        "rle": thing.rle.to_json(),
        "num_components": thing.num_components,
    }


def _object_from_json(fields: dict[str, Any]) -> UltrasoundObject:
    return UltrasoundObject(**{**fields, "rle": RunLength.from_json(fields["rle"])})


def _origin_from_json(fields: dict[str, Any]) -> Origin:
    pairs = {
        name: None if fields[name] is None else tuple(fields[name])
        for name in ("spacing_millimetres", "intensity_window")
    }
    size = fields["original_size"]
    if size is not None:
        rows, columns = size
        size = (int(rows), int(columns))
    return Origin(**{**fields, **pairs, "original_size": size})
