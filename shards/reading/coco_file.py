"""COCO annotation files: the three lists of one, checked against each other."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .polygons import read_json
from .raw_files import RawFile


@dataclass(frozen=True, kw_only=True)
class CocoAnnotation:
    """One annotated thing."""

    category: str
    segmentation: Any
    """Polygons or run lengths, as the file has them."""

    is_crowd: bool
    where: str
    """File and annotation, for messages."""


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """One image that the file lists, with all its annotations."""

    name: PurePosixPath
    size: tuple[int, int] | None
    """Rows and columns, where the file states them."""

    annotations: tuple[CocoAnnotation, ...]


def read_coco(file: RawFile) -> list[CocoImage]:
    """Return the images of a COCO file.

    Raises:
        ValueError: A list or a field is missing, an identifier comes twice, or one leads nowhere.
    """
    content = read_json(file)
    try:
        images, annotations, categories = (
            _by_id(content, name=name, file=file)
            for name in ("images", "annotations", "categories")
        )
        of_image: dict[Any, list[CocoAnnotation]] = defaultdict(list)
        for identifier, one in annotations.items():
            where = f"{file}, annotation {identifier}"
            if one["image_id"] not in images or one["category_id"] not in categories:
                raise ValueError(
                    f"{where}: names image {one['image_id']} and category {one['category_id']}, "
                    "and the file does not have both. Mend the file."
                )
            of_image[one["image_id"]].append(
                CocoAnnotation(
                    category=str(categories[one["category_id"]]["name"]),
                    segmentation=one.get("segmentation"),
                    is_crowd=bool(one.get("iscrowd")),
                    where=where,
                )
            )
        return [_image(one, annotations=of_image[number]) for number, one in images.items()]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file}: an image, annotation or category lacks a field ({error}). Mend the file."
        ) from error


def _by_id(content: Any, *, name: str, file: RawFile) -> dict[Any, Mapping[str, Any]]:  # noqa: ANN401
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{file}: has no list `{name}`, so it is no COCO file. Mend the file.")
    found = {one["id"]: one for one in entries}
    if len(found) < len(entries):
        raise ValueError(f"{file}: an `id` comes twice in `{name}`. Mend the file.")
    return found


def _image(fields: Mapping[str, Any], *, annotations: list[CocoAnnotation]) -> CocoImage:
    rows, columns = fields.get("height"), fields.get("width")
    return CocoImage(
        name=PurePosixPath(str(fields["file_name"]).replace("\\", "/")),
        size=None if rows is None or columns is None else (int(rows), int(columns)),
        annotations=tuple(annotations),
    )
