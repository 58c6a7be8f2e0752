"""FH-PS-AOP: fetal head and pubic symphysis, one MetaImage file per picture."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.image_file import image_from_array
from shards.reading import RawFile, RawTree, pair_files, read_volume, split_values, with_one_mask

from .annotated_image import AnnotatedImage
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="fh_ps_aop",
    title="FH-PS-AOP (pubic symphysis and fetal head)",
    licence="unknown",
    terms="Look the terms up at the Zenodo record that your copy comes from.",
    citation="Lu et al., The JNU-IFM dataset for segmenting pubic symphysis-fetal head, 2022",
    home_page="https://doi.org/10.5281/zenodo.7851339",
    layout="FH-PS-AOP.zip, or a folder with image_mha/ and label_mha/",
    categories={1: "pubic_symphysis", 2: "fetal_head"},
    subject_rule="none in the names, each image stands alone",
    sequence_rule="not in the names; neighbouring numbers may be frames of one video",
    quirks=(
        "Of the three equal channels of an image the first is read.",
        "Masks are kept whole; the published converter cuts them to a guessed field of view.",
    ),
    exclusions=("PSFHS, the sister set (Zenodo record 10969427): audit before you add it.",),
    unverified=(
        "which Zenodo record the archive is from (7851339, 10829116)",
        "whether neighbouring numbers are one video",
        "that PSFHS overlaps with this set",
    ),
)


def find_fh_ps_aop(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `image_mha/00001.mha` with `label_mha/00001.mha`."""
    pairs = pair_files(
        tree.select({".mha"}, within="image_mha"),
        masks=tree.select({".mha"}, within="label_mha"),
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    return [
        FoundImage(
            name=pair.key,
            files=(pair.image, pair.masks[0]),
            read=partial(read_first_channel, pair.image, mask=pair.masks[0]),
        )
        for pair in with_one_mask(pairs, report=report)
    ]


def read_first_channel(image: RawFile, *, mask: RawFile) -> AnnotatedImage:
    """Read the first of an image's channels, which are its slowest axis, and the class values."""
    pixels, window = read_volume(image).as_8_bits()
    labels = read_volume(mask).values
    return AnnotatedImage(
        image=image_from_array(pixels.reshape(-1, *pixels.shape[-2:])[0], intensity_window=window),
        masks=tuple(split_values(labels.squeeze(), classes=CARD.classes, where=str(mask)).items()),
    )


FH_PS_AOP = PublishedSource(card=CARD, find=find_fh_ps_aop)
