"""Own data as COCO files: polygons and run lengths, one object for each annotation."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.own_data_config import CocoConfig
from shards.reading import (
    PICTURE_SUFFIXES,
    CocoImage,
    PathPattern,
    RawFile,
    RawTree,
    coco_mask_of,
    local_path,
    read_coco,
)

from .annotated_image import AnnotatedImage, open_image
from .own_data import Classes, OwnData, plan_own_data
from .published_source import FoundImage
from .source_plan import SourcePlan


def plan_coco(config: BuildConfig, report: BuildReport) -> SourcePlan:
    """Plan every image that an annotation file lists."""
    options = config.coco
    layout = f"COCO files {options.annotations}, and the pictures that they name"
    data = OwnData.from_options(options, layout=layout)
    find = partial(find_listed, options=options, data=data)
    return plan_own_data(data, find=find, config=config, report=report)


def find_listed(
    tree: RawTree, report: BuildReport, *, options: CocoConfig, data: OwnData
) -> Iterator[FoundImage]:
    """Read the annotation files and find the picture of each image that they list."""
    pattern = PathPattern(options.annotations, option="coco.annotations")
    pictures: dict[str, list[RawFile]] = defaultdict(list)
    for file in tree.select(PICTURE_SUFFIXES):
        pictures[file.name].append(file)
    for listing in tree.select({".json"}):
        if pattern.match(listing, tree=tree) is None:
            report.note("JSON files that do not fit coco.annotations")
            continue
        try:
            images = read_coco(listing)
        except ValueError as error:
            report.add(InputError("unreadable or unsupported file", str(error)), is_obstacle=True)
            continue
        if not _declares_all(images, classes=data.classes, report=report):
            continue
        for image in images:
            try:
                picture = _picture_of(image, listing=listing, pictures=pictures)
                kept = _kept_annotations(image, picture=picture, options=options, report=report)
                if kept is not None:
                    yield _found(picture, image=kept, listing=listing, tree=tree, data=data)
            except InputError as problem:
                report.add(problem)


def read_listed(file: RawFile, *, image: CocoImage, classes: Classes) -> AnnotatedImage:
    """Read a picture and make a mask of each of its annotations."""
    picture = open_image(file)
    size = (picture.pixels.shape[0], picture.pixels.shape[1])
    if image.size is not None and image.size != size:
        raise InputError(
            "picture of another size",
            f"{file}: is {size[0]} x {size[1]} pixels, the annotation file says {image.size[0]} x "
            f"{image.size[1]}. Take the picture that was annotated.",
        )
    masks = [
        (
            classes.check(one.category, where=one.where),
            coco_mask_of(one.segmentation, size=size, where=one.where),
        )
        for one in image.annotations
    ]
    notes = ["crowd annotations, taken as objects" for one in image.annotations if one.is_crowd]
    notes += ["annotations that cover no pixel" for _, mask in masks if not mask.any()]
    return AnnotatedImage(image=picture, masks=tuple(masks), notes=tuple(notes))


def _declares_all(images: list[CocoImage], *, classes: Classes, report: BuildReport) -> bool:
    """Report each class that is not declared, once, with the first annotation of it."""
    first: dict[str, str] = {}
    for image in images:
        for one in image.annotations:
            first.setdefault(one.category, one.where)
    num_undeclared = 0
    for category, where in first.items():
        try:
            classes.check(category, where=where)
        except InputError as problem:
            report.add(problem, is_obstacle=True)
            num_undeclared += 1
    return num_undeclared == 0


def _picture_of(
    image: CocoImage, *, listing: RawFile, pictures: Mapping[str, list[RawFile]]
) -> RawFile:
    """Return the file that `file_name` means; one below the annotation file's folder goes first."""
    parts = image.name.parts
    same_name = pictures.get(image.name.name, ())
    found = [file for file in same_name if file.path.parts[-len(parts) :] == parts]
    near = [file for file in found if file.path.is_relative_to(listing.path.parent)]
    found = near or found
    if not found:
        raise InputError(
            "file missing",
            f"{listing}: names {image.name}, which does not lie below root. Restore it, or take "
            "it out of the file.",
        )
    if len(found) > 1:
        raise InputError(
            "two files with one name",
            f"{listing}: names {image.name}; {' and '.join(map(str, found))} could be meant. Write "
            "the folder into `file_name`.",
        )
    return found[0]


def _kept_annotations(
    image: CocoImage, *, picture: RawFile, options: CocoConfig, report: BuildReport
) -> CocoImage | None:
    """Return the image with the annotations to take; None where it is to be left out."""
    kept = image.annotations
    if options.crowd == "drop":
        kept = tuple(one for one in kept if not one.is_crowd)
        report.note("crowd annotations, left out", count=len(image.annotations) - len(kept))
    if kept or options.without_mask == "keep":
        return replace(image, annotations=kept)
    if options.without_mask == "drop":
        report.note("images that lack an annotation and were left out")
        return None
    raise InputError(
        "image without annotation",
        f"{picture}: has no annotation. Annotate it; or take such images as showing nothing of the "
        "categories with coco.without_mask=keep, or leave them out with coco.without_mask=drop.",
    )


def _found(
    picture: RawFile, *, image: CocoImage, listing: RawFile, tree: RawTree, data: OwnData
) -> FoundImage:
    path = local_path(picture, tree=tree)
    return data.found(
        path[: len(path) - len(picture.suffix)],
        path=f"{local_path(listing, tree=tree)} {path}",
        files=(picture, listing),
        read=partial(read_listed, picture, image=image, classes=data.classes),
    )
