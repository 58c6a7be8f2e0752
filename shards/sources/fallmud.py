"""FALLMUD: muscle of the lower leg, with fascicles and aponeuroses in two masks."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.reading import (
    PICTURE_SUFFIXES,
    RawFile,
    RawTree,
    key_without,
    pair_files,
    threshold_mask,
)

from .annotated_image import AnnotatedImage, open_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

THRESHOLD = 100
MASK_FOLDERS = {"aponeurosis_masks": "aponeurosis", "fascicle_masks": "fascicle"}

CARD = SourceCard(
    name="fallmud",
    title="FALLMUD",
    licence="unknown",
    terms="None found.",
    citation="Michard et al., AW-Net: automatic muscle structure analysis, 2021 (FALLMUD)",
    home_page="https://kalisteo.cea.fr/index.php/fallmud/",
    layout="FALLMUD.zip, or NeilCronin/ and RyanCunningham/ with images/ and the two mask folders",
    categories={"aponeurosis": "aponeurosis", "fascicle": "fascicle"},
    subject_rule="none in the names, each image stands alone",
    quirks=(
        "Both masks are needed: aponeuroses and fascicles, grey values from 100 count.",
        "Aponeurosis masks of RyanCunningham lie on their side; a mask with rows and columns "
        "changed over is turned by 90 degrees clockwise, without resampling.",
        "Many images of RyanCunningham may be frames of one video, and some of NeilCronin are "
        "perhaps those of DL_Track: audit before use.",
    ),
    unverified=(
        "the names of the files",
        "that none of the masks that lie on their side is square, where it would not be seen",
    ),
)


def find_fallmud(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair the files of one stem in `images/` and the two mask folders of a centre."""
    files = tree.select(PICTURE_SUFFIXES)
    pairs = pair_files(
        [file for file in files if file.folder == "images"],
        masks=[file for file in files if file.folder in MASK_FOLDERS],
        image_key=lambda file: key_without(file, "images"),
        mask_key=lambda file: key_without(file, *MASK_FOLDERS),
        report=report,
    )
    for pair in pairs:
        centre = pair.image.folders[-2] if len(pair.image.folders) > 1 else tree.root.name
        if sorted(file.folder for file in pair.masks) != sorted(MASK_FOLDERS):
            found = ", ".join(str(file) for file in pair.masks)
            message = f"{pair.image}: needs one mask in each of {list(MASK_FOLDERS)}; has {found}."
            report.add(InputError("file missing", message))
            continue
        yield FoundImage(
            name=f"{centre}-{pair.image.stem}",
            files=(pair.image, *pair.masks),
            read=partial(_read, pair.image, masks=pair.masks),
        )


def _read(image: RawFile, *, masks: tuple[RawFile, ...]) -> AnnotatedImage:
    picture = open_image(image)
    size = picture.pixels.shape[:2]
    found, notes = [], []
    for file in masks:
        mask = threshold_mask(file, at_least=THRESHOLD)
        if mask.shape != size and mask.shape == size[::-1]:
            mask = np.rot90(mask, k=-1)
            notes.append("masks turned by 90 degrees clockwise")
        found.append((MASK_FOLDERS[file.folder], mask))
    return AnnotatedImage(image=picture, masks=tuple(found), notes=tuple(notes))


FALLMUD = PublishedSource(card=CARD, find=find_fallmud)
