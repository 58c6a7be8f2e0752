"""HC18: fetal heads, whose masks are thin ellipse outlines."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from functools import partial

from shards.build_report import BuildReport
from shards.reading import FilePair, RawTree, one_by_name, pair_files, read_csv, with_one_mask

from .annotated_image import AnnotatedImage, MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="hc18",
    title="HC18 (fetal head circumference), called HC in US-43d",
    licence="CC-BY-4.0",
    terms="Name the authors.",
    citation="van den Heuvel et al., Automated measurement of fetal head circumference, 2018",
    home_page="https://doi.org/10.5281/zenodo.1327317",
    layout="HC.zip or training_set.zip, or training_set/ and training_set_pixel_size_and_HC.csv",
    categories={"outline": "fetal_head"},
    subject_rule="the number before the first underscore; _2HC, _3HC, _4HC are more of the subject",
    spacing_rule="pixel size of training_set_pixel_size_and_HC.csv, the same in both directions",
    official_split="the test part has no masks, so all images are of the training part",
    quirks=(
        "Masks are outlines, filled here with the line itself.",
        "An outline that meets the border (186_HC, 346_HC, 628_2HC, 787_HC) is closed along it.",
    ),
    exclusions=("test_set: 335 images without masks.",),
)

_SUFFIX = "_Annotation"
_POSITIVE = re.compile(r"\d*\.?\d*[1-9]\d*(e-?\d+)?")


def find_hc18(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `000_HC.png` with `000_HC_Annotation.png`."""
    files = [
        file for file in tree.select({".png"}) if not any("test_set" in one for one in file.folders)
    ]
    pairs = pair_files(
        [file for file in files if not file.stem.endswith(_SUFFIX)],
        masks=[file for file in files if file.stem.endswith(_SUFFIX)],
        image_key=lambda file: file.stem if "HC" in file.stem else None,
        mask_key=lambda file: file.stem.removesuffix(_SUFFIX),
        report=report,
    )
    sizes = one_by_name(_pixel_sizes(tree), what="rows", report=report)
    pairs = with_one_mask(pairs, report=report)
    missing = sum(pair.image.name not in sizes for pair in pairs)
    if missing:
        report.note("hc18: images without a pixel size in the table", count=missing)
    return [_found(pair, pixel_millimetres=sizes.get(pair.image.name)) for pair in pairs]


def _pixel_sizes(tree: RawTree) -> Iterator[tuple[str, float, str]]:
    """Yield image, pixel size in millimetres, and the place of every row."""
    columns = ("filename", "pixel size(mm)")
    for file in tree.select({".csv"}):
        if file.stem != "training_set_pixel_size_and_HC":
            continue
        for name, size in (
            tuple(row[one] for one in columns) for row in read_csv(file, columns=columns)
        ):
            if not _POSITIVE.fullmatch(size):
                raise ValueError(f"{file}: {name} has the pixel size {size!r}. Mend the line.")
            yield name, float(size), f"{file} ({size})"


def _found(pair: FilePair, *, pixel_millimetres: float | None) -> FoundImage:
    masks = tuple(MaskFile(category="outline", file=file, is_outline=True) for file in pair.masks)
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(
            _read, partial(read_masked_image, pair.image, masks=masks), spacing=pixel_millimetres
        ),
        subject=pair.key.split("_")[0],
        facts=(pixel_millimetres,),
    )


def _read(read: "partial[AnnotatedImage]", *, spacing: float | None) -> AnnotatedImage:
    spacings = None if spacing is None else (spacing, spacing)
    return dataclasses.replace(read(), spacing_millimetres=spacings)


HC18 = PublishedSource(card=CARD, find=find_hc18)
