"""Kaggle's Ultrasound Nerve Segmentation: the brachial plexus in the neck."""

import re
from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="ultrasound_nerve_segmentation",
    title="Ultrasound Nerve Segmentation (Kaggle, 2016)",
    licence="LicenseRef-kaggle-competition",
    terms="The rules of the competition; not to be passed on.",
    citation="Montoya et al., Ultrasound nerve segmentation, Kaggle 2016",
    home_page="https://www.kaggle.com/c/ultrasound-nerve-segmentation",
    layout="ultrasound-nerve-segmentation/ with train/1_1.tif and train/1_1_mask.tif",
    categories={"nerve": "nerve_plexus"},
    subject_rule="the number before the underscore",
    sequence_rule="none; a patient's images are numbered, but not in the order of time",
    quirks=(
        "More than half of the masks are empty; their images are kept as negatives.",
        "Nearly the same images with and without a mask are known: audit before use.",
    ),
    exclusions=("test/, which has no masks, and train_masks.csv, the same masks as text.",),
)

_NAME = re.compile(r"(?P<image>(?P<patient>\d+)_\d+)(_mask)?")


def find_nerves(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `1_1.tif` with `1_1_mask.tif`."""
    files = tree.select({".tif", ".tiff"}, outside="test")
    pairs = pair_files(
        [file for file in files if not file.stem.endswith("_mask")],
        masks=[file for file in files if file.stem.endswith("_mask")],
        image_key=_image_of,
        mask_key=_image_of,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        masks = tuple(MaskFile(category="nerve", file=file, at_least=150) for file in pair.masks)
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
            subject=pair.key.split("_")[0],
        )


def _image_of(file: RawFile) -> str | None:
    matched = _NAME.fullmatch(file.stem)
    return matched["image"] if matched else None


ULTRASOUND_NERVE_SEGMENTATION = PublishedSource(card=CARD, find=find_nerves)
