"""Fast-U-Net: fetal abdomens and heads, unpacked by hand from the repository's rar archives."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import FilePair, RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="fast_u_net",
    title="Fast-U-Net (fetal abdomen and head circumference)",
    licence="unknown",
    terms="No licence of the images was seen; the heads look like a copy of HC18.",
    citation="Ashkani Chenarlogh et al., Fast and accurate U-Net model for fetal ultrasound, 2022",
    home_page="https://github.com/vahidashkani/Fast-U-Net",
    layout="a checkout whose Dataset/AC/*.rar and Dataset/HC/*.rar were unpacked where they lie",
    categories={"AC": "fetal_abdomen", "HC": "fetal_head"},
    subject_rule="HC: the number before the first underscore; AC: each image stands alone",
    official_split="train.txt and val.txt, made by image; not followed, so that no head is in two",
    quirks=(
        "Abdomens and heads are two categories; the published converter has one for both.",
        "Outlines stay as they are: no erosion, no largest component.",
        "Heads carry the names of HC18: do not train on one and test on the other.",
    ),
    unverified=(
        "names of the folders inside the rar archives (masks: a folder or name with 'mask')",
        "whether the heads are HC18's, pixel for pixel",
    ),
)


def find_fast_u_net(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `AC/../0039.png` by its stem and `HC/../514_HC.png` with `514_HC_Annotation.png`."""
    files = [file for file in tree.select({".png"}) if _part_of(file)]
    pairs = pair_files(
        [file for file in files if not _is_mask(file)],
        masks=[file for file in files if _is_mask(file)],
        image_key=_key_of,
        mask_key=_key_of,
        report=report,
    )
    return [_found(pair) for pair in with_one_mask(pairs, report=report)]


def _part_of(file: RawFile) -> str | None:
    words = [folder.upper().split("_")[0] for folder in file.folders]
    return next((word for word in words if word in {"AC", "HC"}), None)


def _is_mask(file: RawFile) -> bool:
    return "mask" in str(file.path).lower() or file.stem.endswith("_Annotation")


def _key_of(file: RawFile) -> str:
    return f"{_part_of(file)}/{file.stem.removesuffix('_Annotation')}"


def _found(pair: FilePair) -> FoundImage:
    part, _, stem = pair.key.partition("/")
    masks = tuple(MaskFile(category=part, file=file) for file in pair.masks)
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(read_masked_image, pair.image, masks=masks),
        subject=f"hc-{stem.split('_')[0]}" if part == "HC" else None,
    )


FAST_U_NET = PublishedSource(card=CARD, find=find_fast_u_net)
