"""The record that every room exchanges: one image, what is annotated in it, where it comes from.

Axis names used in this file:
    row     image rows, in pixels, downwards
    column  image columns, in pixels, to the right
"""

import dataclasses
import hashlib
import re
import warnings
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco_mask

from .image_file import EncodedImage

KEY_PATTERN = re.compile(r"[a-z0-9_-]+__[a-z0-9_-]+")
"""`source__name`. A dot would cut a WebDataset key, so that two names could merge into one."""

MAX_KEY_LENGTH = 80
"""A tar header holds names of 100 characters, and the member's extension follows the key."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunLength:
    """A mask as COCO's compressed run lengths: runs down the columns, packed into ASCII."""

    rows: int
    columns: int
    counts: str

    @classmethod
    def from_mask(cls, mask: np.ndarray) -> "RunLength":
        """Return the run lengths of a bool mask (row column)."""
        packed = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        rows, columns = mask.shape
        return cls(rows=rows, columns=columns, counts=cast(bytes, packed["counts"]).decode("ascii"))

    def mask(self) -> np.ndarray:
        """Return the bool mask (row column)."""
        with warnings.catch_warnings():
            # pycocotools 2.0.11 answers numpy's array protocol in the form before numpy 2.
            warnings.filterwarnings("ignore", message="__array__ implementation")
            return coco_mask.decode(self.to_json()).view(bool)  # bytes of 0 and 1

    def area_pixels(self) -> int:
        """Return the number of foreground pixels without unpacking the mask."""
        return int(coco_mask.area(self.to_json()))

    def to_json(self) -> Any:  # noqa: ANN401 -- the mapping pycocotools and COCO files use
        """Return COCO's own form: `{"size": [rows, columns], "counts": ...}`."""
        return {"size": [self.rows, self.columns], "counts": self.counts}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RunLength":
        """Rebuild from COCO's own form."""
        rows, columns = content["size"]
        return cls(rows=int(rows), columns=int(columns), counts=str(content["counts"]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class UltrasoundObject:
    """One annotated instance of a category; its connected components stay together."""

    category: str
    """Word of the one vocabulary, as `fetal_head`; an index is a place in a model's list."""

    organ: str
    """What the category belongs to, as `heart`."""

    rle: RunLength
    num_components: int
    """Connected regions (8 neighbours) of the mask."""

    def mask(self) -> np.ndarray:
        """Return the bool mask (row column) on the image's own grid."""
        return self.rle.mask()

    @classmethod
    def from_mask(cls, mask: np.ndarray, *, category: str, organ: str) -> "UltrasoundObject":
        """Pack a bool mask (row column) that has at least one foreground pixel."""
        return cls(
            category=category,
            organ=organ,
            rle=RunLength.from_mask(mask),
            num_components=count_components(mask),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an image comes from, and what was done to its pixels."""

    source: str
    licence: str
    subject: str
    """The source's public id or a salted hash, never a hospital's id; an unknown one is the key."""

    subject_is_known: bool
    sequence: str | None = None
    frame: int | None = None
    spacing_millimetres: tuple[float, float] | None = None
    """Distance between pixel centres, along rows and along columns."""

    original_size: tuple[int, int]
    """Rows and columns as published."""

    official_split: str | None = None
    pixels_sha256: str
    intensity_window: tuple[float, float] | None = None
    """Source values that became 0 and 255; None where the source was 8-bit already."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UltrasoundSample:
    """One image with everything that is annotated in it."""

    key: str
    image: np.ndarray
    """uint8, (row column) for grey or (row column 3) for RGB."""

    objects: tuple[UltrasoundObject, ...]
    origin: Origin
    encoded_image: EncodedImage | None = dataclasses.field(default=None, repr=False)
    """The source's own file, cleaned; a writer stores it as it is. None makes it encode a PNG."""

    notes: tuple[str, ...] = ()
    """What was noticed while it was read; a build counts it, a shard does not hold it."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.image.shape[0], self.image.shape[1]


def make_key(source: str, *, name: str) -> str:
    """Return `source__name` in the alphabet of keys; other characters become `-`."""
    key = f"{key_word(source)}__{key_word(name)}"
    if len(key) > MAX_KEY_LENGTH:
        raise ValueError(
            f"{source}/{name}: the key would have {len(key)} characters, at most {MAX_KEY_LENGTH} "
            "fit into a tar header. Shorten the file's name."
        )
    return key


def key_word(text: str) -> str:
    """Return `text` in lower case, with a dash for every run of characters keys cannot hold."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower())


def hash_pixels(image: np.ndarray) -> str:
    """Return the sha256 of the decoded pixels; shape and type take part in it."""
    digest = hashlib.sha256(f"{image.dtype.str}{image.shape}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def count_components(mask: np.ndarray) -> int:
    """Return the number of 8-connected regions of a bool mask (row column)."""
    from scipy import ndimage  # noqa: PLC0415 -- readers of shards never need it

    labelled = ndimage.label(mask, structure=np.ones((3, 3)))
    return int(cast(tuple[np.ndarray, int], labelled)[1])
