"""MMOTU, the part called 3-D: single images with contrast agent."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawTree

from .annotated_image import MaskFile, read_masked_image
from .mmotu_2d import pair_tumours
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="mmotu_3d",
    title="MMOTU, OTU_3d (also called OTU_CEUS)",
    licence="unknown",
    terms="None stated where it was looked for.",
    citation="Zhao et al., A multi-modality ovarian tumor ultrasound image dataset, 2022",
    home_page="https://github.com/cv516Buaa/MMOTU_DS2Net",
    layout="MMOTU_3d.zip, or OTU_3d/ with images and annotations/",
    categories={"lesion": "ovarian_lesion"},
    subject_rule="none in the names, each image stands alone",
    quirks=("Contrast-enhanced 2-D images in spite of the name; there are no volumes.",),
    exclusions=("Files with an underscore in their name: other drawings of the same masks.",),
    unverified=(
        "name of the image folder",
        "whether the same tumours are in OTU_2d: do not take one as independent test of the other",
    ),
)


def find_mmotu_3d(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `images/1.JPG` with `annotations/1.PNG`."""
    for pair in pair_tumours(tree, outside="OTU_2d", report=report):
        masks = tuple(MaskFile(category="lesion", file=file, at_least=1) for file in pair.masks)
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


MMOTU_3D = PublishedSource(card=CARD, find=find_mmotu_3d)
