"""GIST514-DB: gastric tumours in endoscopic ultrasound, COCO polygons."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from shards.build_report import BuildReport, InputError
from shards.reading import RawFile, RawTree, coco_mask_of, read_json

from .annotated_image import AnnotatedImage, open_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="gist514_db",
    title="GIST514-DB",
    licence="CC-BY-NC-SA-4.0",
    terms="As other readers of the set state it; look it up in the repository before use.",
    citation="He et al., Query2: query over queries for detecting gastrointestinal tumours, 2022",
    home_page="https://github.com/howardchina/query2",
    layout="GIST514-DB.zip, or usd514_jpeg_roi/ with images/ and annotations/",
    categories={"lmym": "gastric_leiomyoma", "gist": "gastric_stromal_tumour"},
    subject_rule="none in the names, each image stands alone (514 cases, 514 images)",
    official_split="split 0 of five: its train list is train, its val list is test",
    quirks=("Classes go by the names in the file's `categories`, not by their numbers.",),
    exclusions=("Splits 1 to 4, which cut the same images otherwise.",),
    unverified=("names of the images", "whether each case has one image"),
)

_LISTS = {"train_anno_crop_split_0": "train", "val_anno_crop_split_0": "test"}


def find_gist514_db(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Take the images that the two lists of split 0 name."""
    images: dict[str, list[RawFile]] = defaultdict(list)
    for file in tree.select({".jpg", ".jpeg"}, within="images"):
        images[file.name].append(file)
    found = []
    for listing in tree.select({".json"}):
        if listing.stem in _LISTS:
            found += list(_found_in(listing, images=images, report=report))
    unlisted = len(images) - len({one.files[0].name for one in found})
    if found and unlisted > 0:
        report.note("gist514_db: images that no list names", count=unlisted)
    return found


def _found_in(
    listing: RawFile, *, images: dict[str, list[RawFile]], report: BuildReport
) -> Iterator[FoundImage]:
    entries, names, annotations = _parse(listing)
    for entry in entries:
        files = images.get(entry["file_name"], [])
        if len(files) != 1:
            message = (
                f"{listing}: names {entry['file_name']!r}, of which images/ has {len(files)}; "
                "expected one. Restore the file, or remove the other."
            )
            report.add(
                InputError("file missing" if not files else "two files with one name", message)
            )
            continue
        size = (int(entry["height"]), int(entry["width"])) if "height" in entry else None
        yield FoundImage(
            name=files[0].stem,
            files=(files[0], listing),
            read=partial(
                read_coco_image,
                files[0],
                annotations=tuple(
                    (names.get(one["category_id"], str(one["category_id"])), one["segmentation"])
                    for one in annotations[entry["id"]]
                ),
                size=size,
                where=f"{listing}, {entry['file_name']}",
            ),
            split=_LISTS[listing.stem],
        )


def _parse(listing: RawFile) -> tuple[list[Any], dict[int, str], dict[int, list[Any]]]:
    content = read_json(listing)
    annotations = defaultdict(list)
    try:
        names = {one["id"]: str(one["name"]).lower() for one in content.get("categories", ())}
        for one in content["annotations"]:
            annotations[one["image_id"]].append(one)
            _ = one["category_id"], one["segmentation"]
        entries = [one for one in content["images"] if (one["id"], one["file_name"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{listing}: is no COCO file with images and annotations ({error!r}). Fetch it again."
        ) from error
    return entries, names or {1: "lmym", 2: "gist"}, annotations


def read_coco_image(
    image: RawFile,
    *,
    annotations: tuple[tuple[str, Any], ...],
    size: tuple[int, int] | None,
    where: str,
) -> AnnotatedImage:
    """Read an image and draw its annotations, each a mask of its own.

    Args:
        image: The picture.
        annotations: Class name and COCO's `segmentation`.
        size: Rows and columns as the list has them; None where it has none.
        where: The list and its entry, for messages.
    """
    picture = open_image(image)
    rows, columns = picture.pixels.shape[:2]
    if size not in (None, (rows, columns)):
        raise InputError(
            "mask of another size",
            f"{where}: drawn on {size} rows and columns, the image has {rows} x {columns}. Fix the "
            "list, or fetch the image again.",
        )
    masks = tuple(
        (name, coco_mask_of(segmentation, size=(rows, columns), where=where))
        for name, segmentation in annotations
    )
    return AnnotatedImage(image=picture, masks=masks)


GIST514_DB = PublishedSource(card=CARD, find=find_gist514_db)
