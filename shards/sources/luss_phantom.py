"""LUSS_phantom: ribs, pleura and echo artefacts in a lung phantom, index masks."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import FilePair, RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import read_indexed_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="luss_phantom",
    title="LUSS_phantom (lung ultrasound of a phantom)",
    licence="unknown",
    terms="Look them up in the data repository of the University of Leeds.",
    citation="Lung ultrasound images of a phantom, Research Data Leeds, record 1263",
    home_page="https://doi.org/10.5518/1485",
    layout="LUSS_phantom.zip, or a folder with train/ and test/, each with images/ and masks/",
    categories={1: "rib", 2: "pleural_line", 3: "a_line", 4: "b_line", 5: "b_line_confluence"},
    subject_rule="the clip: the name before its last -F (a phantom, no patients)",
    sequence_rule="the clip; the number after -F is the frame",
    official_split="folders train/ and test/",
    quirks=("A-lines and B-lines are artefacts of the echo, not anatomy.",),
    unverified=("names of the files", "whether a clip has frames in both train/ and test/"),
)

_SPLITS = ("train", "test")


def find_luss_phantom(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `train/images/NAME.png` with `train/masks/NAME.png`."""
    pairs = pair_files(
        tree.select({".png"}, within="images"),
        masks=tree.select({".png"}, within="masks"),
        image_key=_key_of,
        mask_key=_key_of,
        report=report,
    )
    return [_found(pair) for pair in with_one_mask(pairs, report=report)]


def _key_of(file: RawFile) -> str | None:
    split = next((one for one in reversed(file.folders) if one in _SPLITS), None)
    return None if split is None else f"{split}/{file.stem}"


def _found(pair: FilePair) -> FoundImage:
    split, _, stem = pair.key.partition("/")
    clip, _, frame = stem.rpartition("-F")
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(read_indexed_image, pair.image, mask=pair.masks[0], classes=CARD.classes),
        subject=clip or None,
        sequence=clip or None,
        frame=int(frame) if clip and frame.isdigit() else None,
        split=split,
    )


LUSS_PHANTOM = PublishedSource(card=CARD, find=find_luss_phantom)
