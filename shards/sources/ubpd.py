"""UBPD: nerves and their neighbours of the brachial plexus, LabelMe polygons in pinyin."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import (
    RawFile,
    RawTree,
    fill_polygon,
    is_utf_8,
    labelme_polygons,
    pair_files,
    read_json,
    with_one_mask,
)

from .annotated_image import AnnotatedImage, open_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="ubpd",
    title="UBPD (ultrasound brachial plexus dataset)",
    licence="LicenseRef-on-request",
    terms="By agreement with the authors.",
    citation="Ding et al., MallesNet: a multi-object assistance network for brachial plexus, 2022",
    home_page="https://ubpd.worldwidetracing.com",
    layout="a folder with .jpg images and a LabelMe .json of the same name for each",
    categories={
        "dongmai": "artery",
        "jingmai": "vein",
        "jirouzuzhi": "muscle",
        "shenjing": "nerve",
        "zhifang": "fat",
        "jizhu": "spine",
    },
    subject_rule="the number before the first underscore",
    quirks=(
        "Each polygon is an object; they may overlap.",
        "Some files are not UTF-8; they are read as Latin-1, which keeps the numbers, and counted.",
    ),
    unverified=("folder names", "that the leading number is the patient's"),
)


def find_ubpd(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `12_0034.jpg` with `12_0034.json`, wherever they lie."""
    pairs = pair_files(
        tree.select({".jpg", ".jpeg"}),
        masks=tree.select({".json"}),
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        patient, underscore, _ = pair.key.partition("_")
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_labelme_image, pair.image, shapes=pair.masks[0]),
            subject=patient if underscore else None,
        )


def read_labelme_image(image: RawFile, *, shapes: RawFile) -> AnnotatedImage:
    """Read an image and fill the polygons of its LabelMe file."""
    picture = open_image(image)
    rows, columns = picture.pixels.shape[:2]
    polygons = list(labelme_polygons(shapes))
    content = read_json(shapes)
    drawn_on = (content.get("imageHeight") or rows, content.get("imageWidth") or columns)
    if drawn_on != (rows, columns):
        raise InputError(
            "mask of another size",
            f"{shapes}: drawn on {drawn_on} rows and columns, the image has {rows} x {columns}. "
            "Fix the source, or take both files out.",
        )
    masks = tuple(
        (label, fill_polygon(points, size=(rows, columns), where=f"{shapes}, {label}"))
        for label, points in polygons
    )
    notes = () if is_utf_8(shapes) else ("files that are not UTF-8, read as Latin-1",)
    return AnnotatedImage(image=picture, masks=masks, notes=notes)


UBPD = PublishedSource(card=CARD, find=find_ubpd)
