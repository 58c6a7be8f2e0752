"""TG3K: thyroid glands in frames of some sixteen videos."""

from collections.abc import Iterable, Iterator
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, RawTree, pair_files, picture_size, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="tg3k",
    title="TG3K",
    licence="unknown",
    terms="An MIT tag on a mirror by the authors was not confirmed.",
    citation="Gong et al., Thyroid region prior guided attention, Comput Biol Med 2023",
    home_page="https://github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation",
    layout="TN3K.zip, or tg3k/ with thyroid-image/ and thyroid-mask/",
    categories={"gland": "thyroid_gland"},
    subject_rule="runs of frames of one size, in the order of their numbers: 15 of 16 videos",
    sequence_rule="as the subject; the number is the frame",
    official_split="tg3k-trainval.json cuts inside videos, so it is not followed",
    quirks=("Masks are JPEG: grey values of 150 and above count.",),
    unverified=("that a run of one size is one video",),
)


def find_tg3k(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `thyroid-image/0000.jpg` with `thyroid-mask/0000.jpg`, and tell the videos apart."""
    pairs = pair_files(
        tree.select({".jpg"}, within="thyroid-image"),
        masks=tree.select({".jpg"}, within="thyroid-mask"),
        image_key=lambda file: file.stem if file.stem.isdigit() else None,
        mask_key=lambda file: file.stem,
        report=report,
    )
    for pair, video in _with_videos(with_one_mask(pairs, report=report), report=report):
        masks = tuple(MaskFile(category="gland", file=file, at_least=150) for file in pair.masks)
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
            subject=video,
            sequence=video,
            frame=int(pair.key),
        )


def _with_videos(pairs: list[FilePair], *, report: BuildReport) -> Iterator[tuple[FilePair, str]]:
    num_videos, last_size = 0, None
    for pair in sorted(pairs, key=lambda pair: int(pair.key)):
        try:
            size = picture_size(pair.image)
        except ValueError as error:
            report.add(InputError("unreadable or unsupported file", str(error)))
            continue
        num_videos += size != last_size
        last_size = size
        yield pair, f"video-{num_videos:02d}"


TG3K = PublishedSource(card=CARD, find=find_tg3k)
