"""FASS: fetal abdomen, masks as dicts of arrays in pickles, which are read as arrays alone."""

from collections.abc import Iterable
from functools import partial

import numpy as np

from shards.build_report import BuildReport
from shards.reading import (
    RawFile,
    RawTree,
    key_without,
    load_array_pickle,
    pair_files,
    with_one_mask,
)

from .annotated_image import AnnotatedImage, open_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="fass",
    title="FASS (fetal abdominal structures)",
    licence="CC-BY-4.0",
    terms="The licence was not read on the record itself.",
    citation="Da Correggio et al., Fetal abdominal structures, Mendeley Data 4gcpm9dsc3, version 1",
    home_page="https://data.mendeley.com/datasets/4gcpm9dsc3/1",
    layout="FASS.zip, or IMAGES/ and ARRAY_FORMAT/",
    categories={
        "artery": "fetal_artery",
        "liver": "fetal_liver",
        "stomach": "fetal_stomach",
        "vein": "fetal_vein",
    },
    subject_rule="the part of the name before the underscore (P01)",
    quirks=(
        "Masks are pickled dicts. They are read in the building step alone, by an unpickler that "
        "makes numpy arrays and nothing else.",
        "Structures may overlap, and each is an object of its own.",
    ),
    exclusions=("The picture in each array file: it is the PNG again.",),
    unverified=("the names of the files", "that P01 is a patient"),
)


def find_fass(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `IMAGES/P01_IMG1.png` with `ARRAY_FORMAT/P01_IMG1.npy`."""
    pairs = pair_files(
        tree.select({".png"}, within="IMAGES"),
        masks=tree.select({".npy"}, within="ARRAY_FORMAT"),
        image_key=lambda file: key_without(file, "IMAGES"),
        mask_key=lambda file: key_without(file, "ARRAY_FORMAT"),
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        (mask,) = pair.masks
        yield FoundImage(
            name=pair.image.stem,
            files=(pair.image, mask),
            read=partial(_read, pair.image, mask=mask),
            subject=pair.image.stem.partition("_")[0],
        )


def _read(image: RawFile, *, mask: RawFile) -> AnnotatedImage:
    content = load_array_pickle(mask)
    structures = content.get("structures") if isinstance(content, dict) else None
    if not isinstance(structures, dict):
        raise ValueError(
            f"{mask}: holds no dict `structures` of masks by name. Fetch the file again."
        )
    masks = [(str(name), np.asarray(values) > 0) for name, values in structures.items()]
    return AnnotatedImage(image=open_image(image), masks=tuple(masks))


FASS = PublishedSource(card=CARD, find=find_fass)
