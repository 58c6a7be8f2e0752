"""DL_Track: aponeuroses of leg muscles."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="dl_track",
    title="DL_Track, images of aponeuroses",
    licence="Apache-2.0",
    terms="That of the repository, which lies beside the images.",
    citation="Ritsche et al., DeepACSA and DL_Track: muscle architecture in ultrasound images",
    home_page="https://github.com/njcronin/DL_Track",
    layout="a folder with apo_images/img_00001.tif and apo_masks/img_00001.tif",
    categories={"aponeurosis": "aponeurosis"},
    subject_rule="none in the names, each image stands alone",
    quirks=("FALLMUD has images of the same author, perhaps these: audit before you add it.",),
)


def find_dl_track(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `apo_images/img_00001.tif` with `apo_masks/img_00001.tif`."""
    pairs = pair_files(
        tree.select({".tif", ".tiff"}, within="apo_images"),
        masks=tree.select({".tif", ".tiff"}, within="apo_masks"),
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        masks = tuple(MaskFile(category="aponeurosis", file=file) for file in pair.masks)
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


DL_TRACK = PublishedSource(card=CARD, find=find_dl_track)
